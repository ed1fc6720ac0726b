"""The K-Perf files: what they say, that they read back, repeat byte for byte and are never half-written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from matplotlib.font_manager import fontManager
from PIL import Image

from npusim.errors import UserError
from npusim.kperf import publish as publish_module
from npusim.kperf.charts import CHARTS, for_print
from npusim.kperf.energy_chart import SLUG
from npusim.kperf.publish import publish
from npusim.kperf.runner import run_grid
from npusim.kperf.table import (
    COLUMNS,
    FIDELITY_METRIC,
    INTERVAL_METRICS,
    KPerfContext,
    file_columns,
    headlines,
    missing,
    sheet_columns,
    unique_names,
)
from npusim.metrics import SPENT
from npusim.words import speaker

Grid = tuple[tuple[int, int, int], ...]
GRID: Grid = (
    (128, 128, 512),
    (512, 512, 512),
    (1024, 1024, 256),
    (2048, 1024, 256),
    (7168, 1024, 64),
    (15360, 1024, 32),
    (31744, 1024, 32),
)
USERS = (1, 4, 8, 16, 32, 64, 128, 256, 512)
MODELS = (
    ("llama-3.1-8b", "Llama 3.1 8B", 1.0, 1),
    ("qwen3-32b", "Qwen3 32B", 4.0, 4),
    ("llama-3.1-405b", "Llama 3.1 405B", 50.0, 16),
)
CONTEXT = KPerfContext(
    chip_title="FuriosaAI RNGD",
    chip_note="One card, 48 GiB HBM3, 180 W.",
    silicon=True,
    grid_name="furiosa-perf-32k",
    grid_source="furiosa-ai/furiosa-perf, benchmark_32k.yaml",
    arrival_text="Burst: all prompts at once, three requests per user, at most `users` in flight.",
    interval_text="Low and high: 5th and 95th percentile of 200 draws from the ranges of the assumptions.",
    calibration_text="Uncalibrated: every parameter stands at its published or assumed value.",
    software_text="The software is as labs ran it (assumed, not told).",
)
MANIFEST = {
    "version": "0.1.0",
    "git": None,
    "argv": ["npusim", "kperf", "rngd"],
    "seed": 1,
    "configs": {"rngd.yaml": {"sha256": "ab" * 32}},
    "libraries": {"numpy": "2.4.0"},
}
PROVENANCES = pd.DataFrame(
    [
        ("rngd", "memory.bandwidth", 1.5e12, "B/s", "1.5 TB/s", "datasheet", None, None, "RNGD datasheet"),
        ("rngd", "power.idle", 38.0, "W", "38 W", "measured", None, None, "third-party measurement, 2026"),
        ("rngd", "unit.clock", 1e9, "cycle/s", "1 GHz", "datasheet", None, None, "RNGD datasheet"),
        ("rngd", "power.per_byte", 6e-12, "J/B", "6 pJ/B", "assumed", 4e-12, 9e-12, "HBM3 literature"),
        ("furiosa-llm-2026.3", "step.host", 1.2e-4, "s", "120 us", "assumed", 5e-5, 4e-4, "fit by eye"),
        ("furiosa-llm-2026.3", "kv.watermark", 0.0, "", "0", "assumed", 0.0, 0.1, "not published"),
        ("rngd", "unit.slices", 64.0, "", "64", "derived", None, None, "512 MAC rows over 8 PEs"),
        ("rngd", "memory.efficiency", 0.87, "", "0.87", "calibrated", 0.8, 0.9, "fit to serving runs"),
    ],
    columns=["owner", "path", "value", "unit", "text", "kind", "low", "high", "source"],
)


def fake_cells(models: int = 1, intervals: bool = False, grid: Grid = GRID) -> pd.DataFrame:
    """Plausible cells: speed falls with users and context, the last two cells of a model do not fit."""
    rows = [
        _cell(f"{name}{'-b' * (copy > 0)}", f"{title}{' again' * (copy > 0)}", scale, cards, isl, osl, users)
        for copy in range((models + len(MODELS) - 1) // len(MODELS))
        for name, title, scale, cards in MODELS[: models - copy * len(MODELS)]
        for isl, osl, most in grid
        for users in USERS
        if users <= most
    ]
    sides = [f"{FIDELITY_METRIC}_{side}" for side in ("low", "high")]
    cells = pd.DataFrame(rows)[[*(column.name for column in COLUMNS), *sides]]
    if intervals:
        for metric in INTERVAL_METRICS:
            cells[f"{metric}_low"], cells[f"{metric}_high"] = cells[metric] * 0.85, cells[metric] * 1.2
    return cells


def _cell(name: str, title: str, scale: float, cards: int, isl: int, osl: int, users: int) -> dict[str, Any]:
    speed = cards**0.8 / scale
    running = min(users, max(1, int(260_000 / (isl + osl) * speed)))
    step = (17.0 + 0.09 * running + running * (isl + osl / 2) * 1.3e-4 / 1.5) / speed
    prefill = isl * 0.055 / speed
    tpot, ttft = (
        step + prefill * running / osl * 0.8,
        prefill * (running + 1) / 2 + 20 + (users - running) * 40,
    )
    output = 1000 * running / (tpot + prefill * running / osl * 0.2)
    power = cards * (75 + 90 * min(1.0, running / 64))
    fits = not (isl == 31744 and users >= 16)
    means = {"ttft": ttft, "tpot": tpot, "itl": tpot * 0.97, "e2e": ttft + tpot * (osl - 1)}
    shares = {"mean": 1.0, "p50": 0.96, "p90": 1.3, "p99": 1.7}
    metrics = {f"{stem}_ms_{name}": mean * by for stem, mean in means.items() for name, by in shares.items()}
    metrics |= {
        "output_tokens_per_s": output,
        "total_tokens_per_s": output * (isl + osl) / osl,
        "tokens_per_s_per_user": 1000 / tpot,
        "power_w_mean": power,
        "power_w_p99": power * 1.06,
        "tokens_per_joule": output / power,
        **{row.name: 1e3 * power / output / len(SPENT) for row in SPENT},
        "kv_peak_fraction": min(1.0, users * (isl + osl) * scale / cards / 260_000),
        "users_in_service": running,
        "preemptions": 3 if running < users else 0,
        "refused": 0,
    }
    if not fits:
        metrics = dict.fromkeys(metrics, math.nan)
    return metrics | {
        "chip": "rngd",
        "cards": cards,
        "chips": cards,
        "plan": f"TP{cards}",
        "runtime": "furiosa-llm-2026.3",
        "model": name,
        "model_title": title,
        "precision": "bf16",
        "kv_precision": "bf16",
        "speculation": "none",
        "fidelity_sqnr_db": 20.0,
        "fidelity_sqnr_db_low": -1.5,
        "fidelity_sqnr_db_high": 30.0,
        "fidelity_recovery": "97.0% to 99.0%",
        "fidelity_sources": "a card",
        "isl": isl,
        "osl": osl,
        "lengths": "fixed",
        "users": users,
        "requests": 3 * users,
        "power_scope": "card",
        "bound": "memory" if fits else None,
        "status": "predicted" if fits else "longer than the compiled context of 32,768 tokens",
    }


def unpredicted(cells: pd.DataFrame, model: str, reason: str) -> pd.DataFrame:
    """The cells with every metric of one model blanked."""
    first = COLUMNS.index(next(column for column in COLUMNS if column.name == "ttft_ms_mean"))
    numbers = [column.name for column in COLUMNS[first:] if column.number]
    numbers += [name for name in cells if name.endswith(("_low", "_high"))]
    mine = cells["model"] == model
    cells = cells.astype(dict.fromkeys(numbers, float))
    cells.loc[mine, numbers] = np.nan
    cells.loc[mine, "status"] = reason
    return cells


def sheet_text(sheet: Any) -> str:
    return "\n".join(str(value) for row in sheet.iter_rows(values_only=True) for value in row if value is not None)


def titles(chart: Any) -> str:
    return "".join(run.t for part in chart.title.tx.rich.p for run in part.r)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with intervals, published once."""
    out = tmp_path_factory.mktemp("kperf") / "deep" / "out"
    publish(fake_cells(2, intervals=True), PROVENANCES, MANIFEST, CONTEXT, out)
    return out


def test_files_are_named_and_nothing_else_is_left(folder: Path) -> None:
    found = set(bytes_of(folder))
    expected = {f"charts/{model}-{chart.slug}.png" for model in ("llama-3.1-8b", "qwen3-32b") for chart in CHARTS}
    expected |= {f"charts/{model}-{SLUG}.png" for model in ("llama-3.1-8b", "qwen3-32b")}
    assert found == expected | {"kperf.xlsx", "kperf.csv", "manifest.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert json.loads((folder / "manifest.json").read_text()) == MANIFEST


def test_csv_reads_back_to_the_cells(folder: Path) -> None:
    cells = fake_cells(2, intervals=True)
    read = pd.read_csv(folder / "kperf.csv")
    assert list(read) == [column.name for column in file_columns(cells)]
    assert list(read)[:12] == [column.name for column in COLUMNS[:12]]
    pd.testing.assert_frame_equal(read, cells[list(read)], check_dtype=False, rtol=1e-15, atol=0)


def test_summary_says_what_was_predicted_and_how_far_to_trust(folder: Path) -> None:
    book = openpyxl.load_workbook(folder / "kperf.xlsx")
    assert book.sheetnames == [
        "Summary",
        "Llama 3.1 8B",
        "Llama 3.1 8B measured",
        "Qwen3 32B",
        "Qwen3 32B measured",
        "Qwen3 32B charts",
        "Assumptions",
        "Manifest",
        "Interval bars",
    ]
    text = sheet_text(book["Summary"])
    for part in (
        "K-Perf prediction: FuriosaAI RNGD",
        "PREDICTION, not a measurement.",
        "K-Perf's official grid is not public: this grid is npusim's own choice (furiosa-ai/furiosa-perf",
        "not server or wall power",
        CONTEXT.arrival_text,
        CONTEXT.interval_text,
        CONTEXT.calibration_text,
        "Qwen3 32B, bf16 with bf16 KV, 4 cards (4 chips), furiosa-llm-2026.3",
        "3 of 8 numbers in the descriptions are assumed",
        "Not predicted: 4 cells",
        "31,744 / 1,024 × 16, 32",
        "longer than the compiled context",
    ):
        assert part in text
    assert "PROJECTION" not in text
    assert [len(book[name]._charts) for name in book.sheetnames] == [5, 0, 0, 0, 0, 5, 0, 0, 0]


def test_native_charts_point_at_the_predicted_cells(folder: Path) -> None:
    book = openpyxl.load_workbook(folder / "kperf.xlsx")
    throughput = book["Summary"]._charts[0]
    assert "total throughput against users (prediction)" in titles(throughput)
    assert (throughput.x_axis.scaling.logBase, throughput.y_axis.scaling.logBase) == (2, 2)
    assert len(throughput.series) == len(GRID)
    last = throughput.series[-1]
    columns = sheet_columns(fake_cells(1, intervals=True))
    cells = fake_cells(1, intervals=True)
    sheet = book["Llama 3.1 8B"]
    values = [cell.value for (cell,) in sheet[last.yVal.numRef.f.split("!")[1].replace("$", "")]]
    expected = cells[(cells["isl"] == 31744) & (cells["users"] < 16)]["total_tokens_per_s"]
    assert values == pytest.approx(list(expected))
    bars = book["Interval bars"]
    assert bars.sheet_state == "hidden"
    up = [cell.value for (cell,) in bars[last.errBars.plus.numRef.f.split("!")[1].replace("$", "")]]
    gaps = cells["total_tokens_per_s_high"] - cells["total_tokens_per_s"]
    assert up == pytest.approx(list(gaps[(cells["isl"] == 31744) & (cells["users"] < 16)]))
    assert [cell.value for cell in sheet[5]] == [column.label for column in columns]


def test_measuring_table_holds_every_cell_with_units_and_empty_accuracy(folder: Path) -> None:
    sheet = openpyxl.load_workbook(folder / "kperf.xlsx")["Llama 3.1 8B"]
    cells = fake_cells(1, intervals=True)
    heads = [cell.value for cell in sheet[5]]
    assert sheet.max_row == 5 + len(cells)
    assert sheet.freeze_panes == "D6"
    assert sheet.auto_filter.ref is not None and sheet.auto_filter.ref.startswith("A5:")
    assert heads[:3] == ["Input length [tokens]", "Output length [tokens]", "Users"]
    at = heads.index("TTFT mean [ms]")
    assert heads[at + 1 : at + 3] == ["TTFT mean, low [ms]", "TTFT mean, high [ms]"]
    assert [sheet.cell(6 + i, at + 1).value for i in range(9)] == pytest.approx(list(cells["ttft_ms_mean"][:9]))
    score = heads.index("Accuracy score (measured only)") + 1
    assert {sheet.cell(row, score).value for row in range(6, sheet.max_row + 1)} == {"measured only"}
    status = heads.index("Status") + 1
    gone = next(row for row in range(6, sheet.max_row + 1) if sheet.cell(row, status).value != "predicted")
    assert sheet.cell(gone, at + 1).value is None
    assert sheet.cell(gone, status).value == "longer than the compiled context of 32,768 tokens"
    assert sheet.cell(6, at + 1).number_format == '[>=10000]#,##0.0," s";#,##0.0'


def test_assumptions_come_first_and_manifest_is_flat(folder: Path) -> None:
    book = openpyxl.load_workbook(folder / "kperf.xlsx")
    rows = list(book["Assumptions"].iter_rows(min_row=5, values_only=True))
    assert [row[6] for row in rows] == ["assumed"] * 3 + [
        "calibrated",
        "derived",
        "datasheet",
        "datasheet",
        "measured",
    ]
    assert rows[0][:2] == ("rngd", "power.per_byte")
    assert rows[0][2] == pytest.approx(6.0) and rows[0][5] == "pJ/B"
    assert rows[0][7] == pytest.approx(5 / 6) == (rows[0][4] - rows[0][3]) / rows[0][2]
    assert rows[2][7] is None
    assert str(book["Assumptions"]["A2"].value).startswith("3 of 8 are assumed")
    pairs = dict(book["Manifest"].iter_rows(min_row=4, max_col=2, values_only=True))
    assert pairs["argv[2]"] == "rngd" and pairs["configs.rngd.yaml.sha256"] == "ab" * 32


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    small = fake_cells(1, True, GRID[:2])
    for name in ("a", "b"):
        publish(small, PROVENANCES, MANIFEST, CONTEXT, tmp_path / name)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_charts_are_english_where_no_font_has_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A font of boxes for every character, which comes with matplotlib, is none."""
    korean = replace(CONTEXT, say=speaker("ko"))
    boxes = [font for font in fontManager.ttflist if font.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(fontManager, "ttflist", boxes)
    with for_print(korean) as spoken:
        assert spoken.say("prediction") == "prediction"
    with for_print(CONTEXT) as spoken:
        assert spoken == CONTEXT


def test_the_energy_of_a_token_is_that_of_its_parts() -> None:
    (result,) = run_grid(["rngd"], ["qwen2.5-0.5b"], "quick", intervals=False, workers=1)
    cells = result.cells
    spent = cells[[row.name for row in SPENT]]
    assert spent.sum(axis=1).to_numpy() == pytest.approx(1e3 / cells["tokens_per_joule"].to_numpy(), rel=1e-12)
    assert (spent["dram_mj_per_token"] > 0).all() and (spent["pim_mj_per_token"] == 0).all()


def test_charts_are_fit_for_print(folder: Path) -> None:
    with Image.open(folder / "charts" / "llama-3.1-8b-throughput-vs-users.png") as picture:
        assert min(picture.info["dpi"]) >= 150
        assert "Software" not in picture.info


def test_unpredicted_model_keeps_its_table_and_says_why(tmp_path: Path) -> None:
    cells = unpredicted(fake_cells(2, True, GRID[:2]), "qwen3-32b", "needs 2 cards: weights 64.0 GiB")
    names = publish(cells, PROVENANCES, MANIFEST, CONTEXT, tmp_path)
    assert not [name for name in names if "qwen3" in name]
    book = openpyxl.load_workbook(tmp_path / "kperf.xlsx")
    models = ("Llama 3.1 8B", "Qwen3 32B")
    sheets = [name for model in models for name in (model, f"{model} measured")]
    assert book.sheetnames == ["Summary", *sheets, "Assumptions", "Manifest", "Interval bars"]
    assert "needs 2 cards: weights 64.0 GiB" in sheet_text(book["Summary"])
    assert "all cells" in sheet_text(book["Summary"])
    assert sheet_text(book["Qwen3 32B"]).count("needs 2 cards") == 18


def test_nothing_predicted_gives_tables_without_charts(tmp_path: Path) -> None:
    cells = unpredicted(fake_cells(1, grid=GRID[:1]), "llama-3.1-8b", "does not fit")
    assert publish(cells, PROVENANCES, MANIFEST, CONTEXT, tmp_path) == [
        "kperf.xlsx",
        "kperf.csv",
        "manifest.json",
    ]
    summary = openpyxl.load_workbook(tmp_path / "kperf.xlsx")["Summary"]
    assert "No charts: no cell was predicted." in sheet_text(summary)
    assert not summary._charts


@pytest.mark.parametrize(
    ("models", "grid"), [(1, GRID[:1]), (1, ((128, 128, 1), (1024, 256, 1))), (6, ((128, 128, 1),))]
)
def test_small_grids_and_many_models(tmp_path: Path, models: int, grid: Grid) -> None:
    names = publish(fake_cells(models, True, grid), PROVENANCES, MANIFEST, CONTEXT, tmp_path)
    assert len([name for name in names if name.endswith(".png")]) == models * (len(CHARTS) + 1)
    assert len(openpyxl.load_workbook(tmp_path / "kperf.xlsx").sheetnames) == 4 + 2 * models + (models - 1)


def test_gaps_in_the_middle_are_left_out_of_the_native_charts(tmp_path: Path) -> None:
    cells = fake_cells(1, grid=GRID[:1])
    cells.loc[3, ["total_tokens_per_s", "ttft_ms_mean"]] = np.nan
    cells.loc[3, "status"] = "timed out"
    publish(cells, PROVENANCES, MANIFEST, CONTEXT, tmp_path)
    chart = openpyxl.load_workbook(tmp_path / "kperf.xlsx")["Summary"]._charts[0]
    first, second = chart.series[0].yVal.numRef.f.strip("()").split(",")
    assert [first.split("$")[index].strip(":") for index in (2, 4)] == ["6", "8"]
    assert [second.split("$")[index].strip(":") for index in (2, 4)] == ["10", "14"]


def test_a_chip_without_silicon_is_called_a_projection(tmp_path: Path) -> None:
    publish(fake_cells(1, grid=GRID[:1]), PROVENANCES, MANIFEST, replace(CONTEXT, silicon=False), tmp_path)
    assert "PROJECTION" in sheet_text(openpyxl.load_workbook(tmp_path / "kperf.xlsx")["Summary"])


def test_failure_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    publish(fake_cells(1, grid=GRID[:1]), PROVENANCES, MANIFEST, CONTEXT, out)
    before = bytes_of(out)

    def fail(*_: Any) -> list[str]:
        raise RuntimeError("disk full")

    monkeypatch.setattr(publish_module, "write_charts", fail)
    for target in (out, tmp_path / "new" / "deep"):
        with pytest.raises(RuntimeError, match="disk full"):
            publish(fake_cells(2), PROVENANCES, MANIFEST, CONTEXT, target)
    assert bytes_of(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_way_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file; give a folder"):
        publish(fake_cells(1, grid=GRID[:1]), PROVENANCES, MANIFEST, CONTEXT, tmp_path / "out")
    (tmp_path / "out2" / "kperf.csv" / "x").mkdir(parents=True)
    with pytest.raises(UserError, match=r"kperf\.csv is a folder"):
        publish(fake_cells(1, grid=GRID[:1]), PROVENANCES, MANIFEST, CONTEXT, tmp_path / "out2")


def test_unknown_and_lacking_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="bound"):
        file_columns(fake_cells(1).drop(columns="bound"))
    with pytest.raises(ValueError, match="colour"):
        file_columns(fake_cells(1).assign(colour=1))


def test_headlines_name_the_best_cell() -> None:
    cells = fake_cells(1)
    line, best = headlines(cells).iloc[0], cells.loc[cells["total_tokens_per_s"].idxmax()]
    assert line["total_tokens_per_s"] == best["total_tokens_per_s"]
    assert line["total_tokens_per_s_at"] == f"{best['isl']:,} / {best['osl']:,} × {best['users']}"
    assert line["count"] == "48 of 50"
    assert line["speed_high"] >= line["speed_low"] and line["ttft_low"] <= line["ttft_high"]
    assert missing(cells)["cells"].tolist() == [2]


def test_names_are_safe_short_and_unique() -> None:
    made = unique_names(["a/b:c", "a-b-c", "x" * 40, "x" * 40, "summary", "//"], r"[/:]+", 31, ["Summary"])
    assert made == ["a-b-c", "a-b-c-2", "x" * 31, "x" * 29 + "-2", "summary-2", "model"]
