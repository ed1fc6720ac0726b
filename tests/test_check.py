"""`npusim check` on files as labs hand them over: verdicts, remarks, and mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from cli_support import mistake, process, tell

from npusim.engine.analytic import AnalyticEngine
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.validation.validate import described
from npusim.lab.check.conformity import conformity, deviations
from npusim.lab.check.result import check_measured
from npusim.lab.files.lab_run import RunConditions

DATA = Path(__file__).parent.parent / "validation" / "data"
SAMPLES = Path(__file__).parent / "samples" / "lab"
TREE = SAMPLES / "RNGD_1_furiosa-llm_2026.3.0" / "benchmark" / "32k" / "Llama-3.1-8B-Instruct"
SUMMARY = TREE / "summary_1024_1024.csv"
VLLM = next((TREE / "1024.1024.16").glob("vllm-*.json"))

Edited = Callable[..., Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    """`edited(sample, old, new)`: a copy of a sample in a folder of its own with one text replaced."""

    def copy(sample: Path, old: str, new: str) -> Path:
        text = sample.read_text()
        assert old in text
        path = tmp_path / sample.name
        path.write_text(text.replace(old, new, 1))
        return path

    return copy


def _rows(path: Path, *words: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tell("check", path, *words, "--json").json["rows"]
    return rows


def _figure(row: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(figure for figure in row["figures"] if figure["metric"] == metric)


def _rules(row: dict[str, Any]) -> set[str]:
    return {remark["rule"] for remark in row["remarks"]}


def test_a_folder_of_furiosa_perf_is_read_with_its_log() -> None:
    rows = _rows(TREE)
    assert [row["tool"] for row in rows] == ["vllm bench serve", "furiosa-perf", "furiosa-perf", "furiosa-perf"]
    assert {row["verdict"] for row in rows} == {"plausible"}
    for row in rows:
        assert (row["setting"]["device"], row["setting"]["cards"]) == ("RNGD", 1)
        assert row["setting"]["model"].endswith("Llama-3.1-8B-Instruct")
    sixteen = rows[2]
    assert _figure(sixteen, "ttft_ms_mean")["measured"] == 830.0
    assert _figure(sixteen, "tpot_ms_mean")["measured"] == 23.35
    assert _figure(sixteen, "power_w_active")["measured"] == pytest.approx(146.0)
    assert _figure(sixteen, "power_w_samples")["measured"] == pytest.approx(146.0 * 70 / 74)
    assert any("4 of 74 samples" in remark["message"] for remark in sixteen["remarks"])


@pytest.mark.parametrize(
    ("old", "new", "metric", "verdict", "bound"),
    [
        ("662.30,1324.60", "6623.00,13246.00", "output_tokens_per_s", "impossible", "memory bandwidth"),
        (",23.35,", ",2.33,", "tpot_ms_mean", "impossible", "memory bandwidth"),
        (
            "1024,1024,16,662.30,1324.60,0.830",
            "1024,1024,16,662.30,1324.60,0.030",
            "ttft_ms_mean",
            "impossible",
            "arith",
        ),
        ("1024,1024,16,662.30,1324.60", "1024,1024,16,262.30,524.60", "output_tokens_per_s", "implausible", "pred"),
        (",24.717,", ",74.717,", "e2e_ms_mean", "impossible", "Little's law"),
    ],
)
def test_a_figure_that_cannot_be_is_found(
    edited: Edited, old: str, new: str, metric: str, verdict: str, bound: str
) -> None:
    told = ("--precision", "bf16", "--prompts", "different", "--speculate", "none")
    rows = _rows(edited(SUMMARY, old, new), *told)
    figure = _figure(rows[1], metric)
    assert figure["verdict"] == verdict, figure
    assert figure["bound"].startswith(bound)
    assert rows[1]["verdict"] in ("impossible", verdict)
    assert rows[0]["verdict"] == rows[2]["verdict"] == "plausible"


def test_a_figure_outside_its_prediction_in_every_format_is_implausible(edited: Edited) -> None:
    row = _rows(edited(SUMMARY, "662.30,1324.60", "262.30,524.60"))[1]
    assert {"precision", "kv_precision"} <= set(row["conditions"]["open"])
    assert _figure(row, "output_tokens_per_s")["verdict"] == "implausible"
    assert row["verdict"] == "implausible"


def test_vllm_json_needs_the_chip_where_no_folder_tells_it(tmp_path: Path) -> None:
    path = tmp_path / VLLM.name
    path.write_text(VLLM.read_text())
    row = _rows(path)[0]
    assert (row["verdict"], row["reason"]) == ("unchecked", "the chip is not told; give --arch")
    assert _rows(path, "--arch", "rngd")[0]["verdict"] == "plausible"
    faster = json.loads(VLLM.read_text()) | {"output_throughput": 6623.2, "duration": 7.4212}
    path.write_text(json.dumps(faster))
    assert _rows(path, "--arch", "rngd", "--cards", "1")[0]["verdict"] == "impossible"
    assert _rows(path, "--arch", "rngd")[0]["verdict"] == "implausible"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"failed": 3, "completed": 45}, "failed requests"),
        ({"duration": 30.0}, "rates agree"),
        ({"mean_e2el_ms": 34719.2}, "latencies add up"),
        ({"p99_ttft_ms": 500.0}, "percentiles rise"),
        ({"duration": 7.4212, "output_throughput": 6623.2}, "short run"),
        ({"mean_e2el_ms": 4719.2}, "Little's law"),
    ],
)
def test_the_linter_finds(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    path = tmp_path / "vllm.json"
    path.write_text(json.dumps(json.loads(VLLM.read_text()) | change))
    assert rule in _rules(_rows(path, "--arch", "rngd")[0])
    assert rule not in _rules(_rows(VLLM)[0])


@pytest.mark.parametrize(
    ("sample", "old", "new", "parts"),
    [
        (SUMMARY, "Mean TTFT(s)", "Mean TTFT(ms)", ("Mean TTFT(ms)", "'Mean TTFT(s)'")),
        (SUMMARY, "P25 TTFT(s)", "Mean TTFT(s)", ("stands twice",)),
        (SUMMARY, ",662.30,", ",nan,", (":12", "Output Throughput", "no finite number")),
        (SUMMARY, ",662.30,", ",-662.30,", (":12", "below zero")),
        (SUMMARY, "1024,1024,16,", "1024,1024,1000000000000,", (":12", "Concurrent", "more than any run")),
        (SUMMARY, ",192.30", "", (":13", "cut or broken")),
        (VLLM, '"num_prompts": 48', '"num_prompts": 1000000000000', ("num_prompts", "more than any run")),
        (VLLM, '"mean_ttft_ms": 830.11', '"mean_ttft_ms": NaN', ("mean_ttft_ms", "no finite number")),
        (VLLM, '"failed": 0', '"completed": 0', ("completed", "twice")),
        (VLLM, '"duration": 74.212,', "", ("duration", "missing")),
        (VLLM, "\n}", "", ("no JSON", "cut or broken")),
    ],
)
def test_a_broken_file_is_one_line_and_nothing_is_written(
    edited: Edited, tmp_path: Path, sample: Path, old: str, new: str, parts: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    line = mistake("check", edited(sample, old, new), "--arch", "rngd", "--out", out)
    assert all(part in line for part in parts), line
    assert not out.exists()


def test_mistakes_in_the_words(tmp_path: Path) -> None:
    assert "did you mean 'rngd'" in mistake("check", SUMMARY, "--arch", "rngdd")
    assert "unknown model" in mistake("check", SUMMARY, "--model", "llama-9")
    assert "no such file" in mistake("check", tmp_path / "nowhere")
    assert "no file of a known kind" in mistake("check", tmp_path)
    (tmp_path / "notes.txt").write_text("nothing\n")
    assert "no known kind" in mistake("check", tmp_path / "notes.txt")


def test_as_a_process_it_prints_a_table(tmp_path: Path) -> None:
    done = process("check", str(SUMMARY), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 plausible" in done.stdout


def test_the_excel_copy_holds_verdicts_predictions_and_conformity(tmp_path: Path) -> None:
    again = tmp_path / "again"
    for folder in (tmp_path / "out", again):
        answer = tell("check", TREE, "--out", folder, "--json").json
    assert [Path(name).name for name in answer["files"]] == ["check.xlsx", "check.json", "manifest.json"]
    assert (tmp_path / "out" / "check.xlsx").read_bytes()[:2] == b"PK"
    assert json.loads((again / "check.json").read_text())["rows"] == answer["rows"]
    book = openpyxl.load_workbook(again / "check.xlsx")
    assert book.sheetnames == ["Table", "Figures", "Conformity", "Manifest"]
    heads = {cell.value: cell.column for cell in book["Table"][4]}
    sheet = book["Table"]
    value, low, high = (sheet.cell(6, heads[f"tpot_ms_mean {side}"]).value for side in ("predicted", "low", "high"))
    assert low < value < high
    assert sheet.cell(6, heads["verdict"]).value == "plausible"
    checked = {cell.value: cell.column for cell in book["Conformity"][4]}
    assert "Repeats of the setting" in checked
    assert book["Conformity"].cell(6, checked["Power samples"]).value is None
    assert book["Conformity"].cell(7, checked["Power samples"]).value == 74


def test_an_earlier_check_is_never_replaced(tmp_path: Path) -> None:
    """Nor its manifest by that of another command's results, nor a lab's own file of such a name."""
    words, out = ("check", SUMMARY, "--arch", "rngd", "--model", "llama-3.1-8b", "--out"), tmp_path / "checked"
    assert tell(*words, out).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "evidence is never replaced" in mistake(*words, out)
    grid = ("--models", "qwen2.5-0.5b", "--grid", "quick", "--no-interval", "--out", out)
    assert "tells of other results" in mistake("kperf", "rngd", *grid)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "manifest.json").unlink()
    assert "not written by npusim" in mistake(*words, out)


def test_deviations_from_the_grid(edited: Edited) -> None:
    row = check_measured(edited(SUMMARY, "1024,1024,16", "1000,1024,17"), RunConditions(), 0, lambda _line: None).rows
    assert list(deviations(row[0])) == []
    assert list(deviations(row[1])) == ["1000/1024 is no shape of furiosa-perf-32k"]
    assert conformity(row)["repeats"].tolist() == [1, 1, 1]


def test_more_cards_cannot_gain_more_than_their_number(tmp_path: Path) -> None:
    for cards, tpot in ((1, "23.35"), (2, "14.35"), (4, "5.10")):
        folder = tmp_path / f"RNGD_{cards}_furiosa-llm_2026.3.0" / "b" / "t" / "Llama-3.1-8B-Instruct"
        folder.mkdir(parents=True)
        lines = [line for line in SUMMARY.read_text().splitlines() if "Device Info" not in line]
        text = "\n".join(
            line.replace(",23.35,", f",{tpot},", 1) for line in lines if not line.startswith("1024,1024,1,")
        )
        (folder / "summary_1024_1024.csv").write_text(text + "\n")
    rows = [row for row in _rows(tmp_path) if row["setting"]["users"] == 16]
    assert [row["setting"]["cards"] for row in rows] == [1, 2, 4]
    found = [{remark["severity"] for remark in row["remarks"] if remark["rule"] == "Amdahl's law"} for row in rows]
    assert found == [set(), {"note"}, {"fault"}]


@pytest.mark.parametrize("table", ["h200/serving.csv", "h200/steps.csv", "h200/mixed_steps.csv", "rngd/kernels.csv"])
def test_no_measured_row_is_called_impossible(table: str) -> None:
    rows = _rows(DATA / table)
    verdicts = [row["verdict"] for row in rows]
    assert "impossible" not in verdicts
    assert verdicts.count("plausible") > 0.9 * len(verdicts)


@pytest.mark.parametrize("table", ["h200/vllm_mechanics.csv", "h200/vllm_apart.csv", "h200/vllm_long_prompts.csv"])
def test_runs_that_were_measured_are_not_accused(table: str) -> None:
    """Requests that came at a rate, two servers of one run, shared prefixes, budgets, two cards, long prompts."""
    found = [figure["verdict"] for row in _rows(DATA / table, "--arch", "h200") for figure in row["figures"]]
    assert "impossible" not in found
    assert found.count("implausible") <= 0.02 * len(found)
    assert found.count("plausible") > 0.9 * len(found)


@pytest.mark.parametrize(
    ("chosen", "column", "factor", "verdict"),
    [
        ("poisson", "output_tokens_per_s", 3.0, "implausible"),
        ("poisson", "power_w", 4.0, "impossible"),
        ("apart", "power_w", 2.5, "impossible"),
        ("apart", "output_tokens_per_s", 2.0, "implausible"),
    ],
)
def test_what_was_made_up_is_seen(tmp_path: Path, chosen: str, column: str, factor: float, verdict: str) -> None:
    frame = pd.read_csv(DATA / ("h200/vllm_apart.csv" if chosen == "apart" else "h200/vllm_mechanics.csv"))
    rows = frame if chosen == "apart" else frame[frame["arrival"] != "closed"]
    rows = rows.assign(**{column: rows[column] * factor})
    rows.to_csv(tmp_path / "table.csv", index=False)
    name = {"power_w": "power_w_mean"}.get(column, column)
    found = [
        figure["verdict"]
        for row in _rows(tmp_path / "table.csv", "--arch", "h200")
        for figure in row["figures"]
        if figure["metric"] in (column, name)
    ]
    grave = ("impossible",) if verdict == "impossible" else ("impossible", "implausible")
    assert sum(each in grave for each in found) >= 0.5 * len(rows) > 0


@pytest.mark.parametrize(
    ("table", "column", "factor"),
    [
        ("h200/serving.csv", "output_tokens_per_s", 6.0),
        ("h200/steps.csv", "us", 0.2),
        ("h200/serving.csv", "power_w", 2.5),
    ],
)
def test_a_measured_table_off_by_a_factor_is_called_impossible(
    tmp_path: Path, table: str, column: str, factor: float
) -> None:
    frame = pd.read_csv(DATA / table)
    frame[column] *= factor
    frame.to_csv(tmp_path / "table.csv", index=False)
    verdicts = [row["verdict"] for row in _rows(tmp_path / "table.csv", "--arch", "h200")]
    assert verdicts.count("impossible") > 0.6 * len(verdicts)
    assert "plausible" not in verdicts


def test_an_engine_that_remembers_other_runs_changes_no_figure() -> None:
    placement = Placement("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "bf16")
    numbers = described("rngd")
    engine = AnalyticEngine(numbers.apply(measured_deployment(placement)))
    for users in (4, 2):
        predictor = RunPredictor(placement, 256, 16, users)
        assert predictor.predict(numbers, 0, engine) == predictor.predict(numbers, 0)


def test_a_folder_is_checked_around_what_cannot_be_read(tmp_path: Path, edited: Edited) -> None:
    """A decimal comma, "N/A", a cut file, another program's workbook, and the results of an earlier check."""
    shutil.copytree(TREE, tmp_path / "RNGD_1_furiosa-llm_2026.3.0" / "b" / "t" / TREE.name)
    first = tell("check", tmp_path, "--out", tmp_path / "checked", "--json").json
    assert len(first["rows"]) == 4
    text = SUMMARY.read_text()
    folder = tmp_path / "RNGD_2_furiosa-llm_2026.3.0" / "b" / "t" / TREE.name
    folder.mkdir(parents=True)
    (folder / "summary_comma.csv").write_text(text.replace(",0.830,", ',"0,830",'))
    (folder / "summary_nothing.csv").write_text(text.replace(",24.717,", ",N/A,").replace("RNGD x 1", "RNGD x 2"))
    (folder / "cut.json").write_text(VLLM.read_text()[:-20])
    openpyxl.Workbook().save(folder / "notes.xlsx")
    answer = tell("check", tmp_path, "--json").json
    assert len(answer["rows"]) == 7
    named = {Path(each["place"]).name: each["reason"] for each in answer["unread"]}
    assert "decimal comma" in named["summary_comma.csv"] and "no JSON" in named["cut.json"]
    assert {"check.xlsx", "check.json", "manifest.json", "notes.xlsx"} <= set(named)
