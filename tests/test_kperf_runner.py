"""The grid runner: a cell for every shape and user count, with its figures or with the reason why not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from npusim.engine.elasticity import RESOURCE_TABLE
from npusim.errors import UserError
from npusim.kperf.runner import DEFAULT_GRID, KPERF_MODELS, GridResult, run_grid
from npusim.kperf.table import COLUMNS, FIDELITY_METRIC, INTERVAL_METRICS, PREDICTED, file_columns
from npusim.ledger import provenances
from npusim.mapping.deployment import deploy
from npusim.serving.load import random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Burst
from npusim.workload.grid import load_grid

QUICK = list(load_grid("quick").cells())
GRID = """
name: mine
title: A grid of the test
source: the test
arrival: {arrival}
requests_per_user: 2
points:
{points}
"""


def _grid_file(folder: Path, *points: str, arrival: str = "closed") -> str:
    path = folder / "mine.yaml"
    path.write_text(GRID.format(arrival=arrival, points="\n".join(f"  - {point}" for point in points)), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def quick() -> tuple[GridResult, list[tuple[int, int, str]]]:
    """The quick grid of one model on RNGD, with intervals, and what the progress callback was told."""
    told: list[tuple[int, int, str]] = []
    results = run_grid(["rngd"], ["llama-3.1-8b"], "quick", progress=lambda *args: told.append(args))
    assert len(results) == 1
    return results[0], told


def test_every_cell_of_the_grid_is_a_row(quick: tuple[GridResult, list]) -> None:
    cells = quick[0].cells
    assert list(zip(cells["isl"], cells["osl"], cells["users"], strict=True)) == QUICK
    assert (cells["status"] == PREDICTED).all()
    assert (cells["requests"] == 3 * cells["users"]).all()
    for name, value in {
        "chip": "rngd",
        "cards": 1,
        "chips": 1,
        "runtime": "furiosa-llm-2026.3",
        "model": "llama-3.1-8b",
        "precision": "bf16",
        "kv_precision": "bf16",
        "speculation": "none",
    }.items():
        assert (cells[name] == value).all(), name
    assert cells["power_scope"].str.startswith("cards").all()
    assert cells["bound"].isin(RESOURCE_TABLE).all()


def test_the_columns_are_those_of_the_table(quick: tuple[GridResult, list]) -> None:
    cells = quick[0].cells
    sides = [f"{name}_{side}" for name in (*INTERVAL_METRICS, FIDELITY_METRIC) for side in ("low", "high")]
    assert list(cells.columns) == [column.name for column in COLUMNS] + sides
    assert len(file_columns(cells)) == len(cells.columns)
    numbers = cells.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy(float)).all()


def test_intervals_hold_their_values(quick: tuple[GridResult, list]) -> None:
    cells = quick[0].cells
    for name in INTERVAL_METRICS:
        assert (cells[f"{name}_low"] <= cells[name]).all(), name
        assert (cells[name] <= cells[f"{name}_high"]).all(), name
        assert (cells[f"{name}_low"] < cells[f"{name}_high"]).all(), name


def test_figures_agree_with_each_other(quick: tuple[GridResult, list]) -> None:
    cells = quick[0].cells
    ratio = (cells["isl"] + cells["osl"]) / cells["osl"]
    np.testing.assert_allclose(cells["total_tokens_per_s"], cells["output_tokens_per_s"] * ratio, rtol=1e-12)
    np.testing.assert_allclose(cells["tokens_per_s_per_user"], 1e3 / cells["tpot_ms_mean"], rtol=1e-12)
    in_all = cells["ttft_ms_mean"] + cells["tpot_ms_mean"] * (cells["osl"] - 1)
    np.testing.assert_allclose(cells["e2e_ms_mean"], in_all, rtol=1e-9)
    joules_per_token = cells["power_w_mean"] / cells["output_tokens_per_s"]
    np.testing.assert_allclose(cells["tokens_per_joule"], 1.0 / joules_per_token, rtol=1e-9)
    for name in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"):
        assert (cells[f"{name}_p50"] <= cells[f"{name}_p90"]).all()
        assert (cells[f"{name}_p90"] <= cells[f"{name}_p99"]).all()
    for _, line in cells.groupby(["isl", "osl"]):
        assert line["output_tokens_per_s"].is_monotonic_increasing
        assert line["tokens_per_s_per_user"].is_monotonic_decreasing
        assert line["kv_peak_fraction"].is_monotonic_increasing


def test_a_cell_is_the_serving_run_of_its_shape(quick: tuple[GridResult, list]) -> None:
    row = quick[0].cells.iloc[4]
    load = random_load(int(row["isl"]), int(row["osl"]), Burst(int(row["users"])), int(row["requests"]))
    metrics = measure(simulate(deploy("rngd", "llama-3.1-8b"), load, 0))
    assert row["ttft_ms_p90"] == metrics["ttft_ms_p90"]
    assert row["output_tokens_per_s"] == metrics["output_tokens_per_s"]
    assert row["tokens_per_joule"] == metrics["tokens_per_joule"]
    assert row["users_in_service"] == metrics["users_in_service"]


def test_progress_counts_every_cell_once(quick: tuple[GridResult, list]) -> None:
    told = quick[1]
    assert [done for done, _, _ in told] == list(range(len(QUICK) + 1))
    assert {total for _, total, _ in told} == {len(QUICK)}
    assert {label for _, _, label in told[1:]} == {
        f"rngd llama-3.1-8b {isl}/{osl} x {users}" for isl, osl, users in QUICK
    }


def test_the_result_carries_what_it_hangs_on(quick: tuple[GridResult, list]) -> None:
    result = quick[0]
    deployment = result.deployments[0]
    table = result.provenances
    assert set(table["owner"]) == {"rngd", "furiosa-llm-2026.3", "formats", "fidelity"}
    own = [item.path for item in provenances("rngd", deployment.system)]
    assert list(table.loc[table["owner"] == "rngd", "path"]) == own
    assert table["source"].str.strip().ne("").all()
    assumed = table[table["kind"] == "assumed"]
    assert assumed["low"].notna().all() and assumed["high"].notna().all()
    assert result.context.silicon
    assert "burst" in result.context.arrival_text
    assert "90 %" in result.context.interval_text
    assert result.sim_seconds > 0.0


def test_without_intervals_there_are_no_sides(quick: tuple[GridResult, list]) -> None:
    plain = run_grid(["rngd"], ["llama-3.1-8b"], "quick", intervals=False)[0]
    sides = [name for name in plain.cells.columns if name.endswith(("_low", "_high"))]
    assert sides == [f"{FIDELITY_METRIC}_low", f"{FIDELITY_METRIC}_high"]
    shared = list(plain.cells.columns)
    pd.testing.assert_frame_equal(plain.cells, quick[0].cells[shared])
    assert plain.context.interval_text == "no intervals"


def test_one_seed_gives_one_table() -> None:
    options = {"models": ["llama-3.1-8b"], "grid": "quick", "seed": 3}
    first, second = (run_grid(["h200"], **options)[0].cells for _ in range(2))
    assert first.to_csv() == second.to_csv()
    assert (first["status"] == PREDICTED).all()
    assert (first["runtime"] == "vllm").all()


def test_a_model_too_large_says_so_in_every_cell() -> None:
    result = run_grid(["rngd"], ["llama-3.1-405b"], "quick")[0]
    cells = result.cells
    assert len(cells) == len(QUICK)
    assert (cells["status"] == cells["status"].iloc[0]).all()
    reason = cells["status"].iloc[0]
    assert "does not fit" in reason and "GiB of weights" in reason
    assert "not even 8 cards" in reason and "choose a smaller precision" in reason
    for name in INTERVAL_METRICS:
        assert cells[name].isna().all()
        assert f"{name}_low" not in cells


def test_a_fixed_number_of_cards_says_how_many_would_do() -> None:
    cells = run_grid(["rngd"], ["llama-3.3-70b"], "quick", cards=1, intervals=False)[0].cells
    assert cells["status"].str.contains("4 cards would do").all()


def test_auto_takes_the_cards_that_the_model_needs(tmp_path: Path) -> None:
    grid = _grid_file(tmp_path, "{isl: 128, osl: 8, users: [1, 2]}")
    cells = run_grid(["rngd"], ["llama-3.3-70b", "llama-3.1-8b"], grid, intervals=False)[0].cells
    assert (cells["status"] == PREDICTED).all()
    assert dict(zip(cells["model"], cells["cards"], strict=True)) == {"llama-3.3-70b": 4, "llama-3.1-8b": 1}
    assert (cells["chips"] == cells["cards"]).all()


def test_cells_that_cannot_be_served_stand_beside_those_that_can(tmp_path: Path) -> None:
    grid = _grid_file(tmp_path, "{isl: 64, osl: 8, users: [2]}", "{isl: 131072, osl: 8, users: [1]}", arrival="burst")
    cells = run_grid(["rngd"], ["llama-3.1-8b"], grid)[0].cells
    assert cells["status"].tolist() == [
        PREDICTED,
        "131079 tokens are more than the longest context, 131072",
    ]
    assert math.isfinite(cells["ttft_ms_mean_low"][0])
    assert cells[["ttft_ms_mean", "ttft_ms_mean_low", "output_tokens_per_s", "bound"]].iloc[1].isna().all()
    assert cells["requests"].tolist() == [4, 2]


def test_architectures_are_tables_of_their_own(tmp_path: Path) -> None:
    grid = _grid_file(tmp_path, "{isl: 64, osl: 8, users: [1]}")
    told: list[int] = []
    results = run_grid(
        ["rngd", "rngd-plus"],
        ["llama-3.1-8b"],
        grid,
        precision="fp8",
        intervals=False,
        progress=lambda done, total, _: told.append(total - done),
    )
    assert [result.cells["chip"].iloc[0] for result in results] == ["rngd", "rngd-plus"]
    assert [result.context.silicon for result in results] == [True, False]
    assert all((result.cells["precision"] == "fp8").all() for result in results)
    assert told == [2, 1, 0]


def test_the_default_grid_and_models_are_shipped() -> None:
    grid = load_grid(DEFAULT_GRID)
    assert len(list(grid.cells())) == 50
    for name in KPERF_MODELS:
        assert deploy("rngd", name, cards="auto").model.name == name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"archs": ["rngd9"]}, "rngd9"),
        ({"models": ["llama-9"]}, "llama-9"),
        ({"grid": "slow"}, "unknown grid 'slow'"),
        ({"cards": "many"}, "'many' is no number of cards"),
        ({"precision": "fp3"}, "fp3"),
        ({"runtime": "vllm"}, "vllm"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_are_told_before_any_cell(options: dict, words: str) -> None:
    told: list[int] = []
    asked = {"archs": ["rngd"], "models": ["llama-3.1-8b"], "grid": "quick"} | options
    with pytest.raises(UserError, match=words):
        run_grid(**asked, progress=lambda done, total, label: told.append(done))
    assert not told
