"""Chips side by side: what a cell comes to for a card, a server, a watt and a rack, and what is not known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from cli_support import tell

from npusim import api
from npusim.api.grids import GridAnswer
from npusim.hardware.catalog import load_system
from npusim.kperf.comparison import COLUMNS, SCALES, chosen_cells, compared, not_run
from npusim.kperf.publish_comparison import publish_comparison

GRID = """
name: one
title: Two cells
source: A test
arrival: closed
requests_per_user: 2
points: [{isl: 64, osl: 8, users: [1, 4]}]
"""


def sheet_text(sheet: Any) -> str:
    return "\n".join(str(cell) for row in sheet.iter_rows(values_only=True) for cell in row if cell is not None)


CHIPS = ["rngd", "h200", "lpddr5x-pim"]
MODELS = ["qwen2.5-0.5b", "llama-3.1-405b"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(GRID)
    return str(path)


@pytest.fixture(scope="module")
def found(grid: str) -> GridAnswer:
    return api.kperf(CHIPS, MODELS, grid, interval=False, workers=1)


def test_a_card_a_server_a_watt_and_a_rack(found: GridAnswer) -> None:
    rows = compared(found)
    assert list(rows["chip"][:3]) == CHIPS
    told = {name: load_system(name) for name in CHIPS}
    for row in rows[rows["status"] == "predicted"].to_dict("records"):
        own = found[CHIPS.index(str(row["chip"]))].cells
        cell = own[(own["model"] == row["model"]) & (own["users"] == row["users"])].iloc[0]
        system = told[str(row["chip"])]
        housing = system.housing
        instances = int(system.server.max_cards.value) // int(cell["cards"])
        assert row["instances"] == instances
        assert row["per_card"] == pytest.approx(cell["output_tokens_per_s"] / cell["cards"])
        assert row["per_server"] == pytest.approx(cell["output_tokens_per_s"] * instances)
        assert row["per_card_w"] == cell["tokens_per_joule"]
        if housing is None:
            assert math.isnan(row["per_server_w"]) and math.isnan(row["per_rack"])
            continue
        server_w = cell["power_w_mean"] * instances + housing.host.value
        wall_w = server_w / housing.supply_efficiency.value
        assert (row["server_w"], row["wall_w"]) == (pytest.approx(server_w), pytest.approx(wall_w))
        assert row["per_server_w"] == pytest.approx(row["per_server"] / server_w, rel=1e-6)
        assert row["per_wall_w"] == pytest.approx(row["per_server"] / wall_w, rel=1e-6)
        assert housing.rack is not None
        assert row["per_rack"] == pytest.approx(row["per_server"] * (housing.rack.value // wall_w))


def test_an_interval_s_ends_take_the_far_ends_of_the_host(found: GridAnswer) -> None:
    rows = found[0].cells
    spread = rows.assign(
        **{f"{name}_{side}": rows[name] * part for name in ("output_tokens_per_s", "tokens_per_joule")
           for side, part in (("low", 0.8), ("high", 1.3))}
    )  # fmt: skip
    plain = compared(found)
    ends = compared([replace(found[0], cells=spread), *found[1:]])
    first = ends[(ends["chip"] == "rngd") & (ends["status"] == "predicted")].iloc[0]
    middle = plain[(plain["chip"] == "rngd") & (plain["status"] == "predicted")].iloc[0]
    for scale in SCALES:
        assert first[f"{scale.name}_low"] < first[scale.name] < first[f"{scale.name}_high"]
        assert first[scale.name] == middle[scale.name]
    assert first["per_wall_w_low"] < 0.8 * first["per_wall_w"]
    assert first["per_wall_w_high"] > 1.3 * first["per_wall_w"]


def test_what_does_not_run_says_why_and_what_would(found: GridAnswer) -> None:
    gaps = not_run(compared(found))
    assert set(gaps["model_title"]) == {"Llama 3.1 405B"}
    assert gaps["status"].str.contains("choose a smaller precision|would do|does not fit").all()
    shown = chosen_cells(compared(found))
    users = shown.groupby("model")["users"]
    assert (users.max() == users.min()).all()
    assert set(shown["chip"]) == set(CHIPS)


def test_the_files_of_a_comparison(found: GridAnswer, tmp_path: Path) -> None:
    names = publish_comparison(found, {"npusim": "x", "files": []}, found[0].context, tmp_path)
    assert {"comparison.xlsx", "comparison.csv", "manifest.json", "charts/qwen2.5-0.5b-comparison.png"} <= set(names)
    book = openpyxl.load_workbook(tmp_path / "comparison.xlsx")
    assert book.sheetnames == ["Comparison", "Cells", "Not predicted", "Manifest"]
    assert len(book["Comparison"]._charts) >= len(SCALES)
    assert "PREDICTION, not a measurement" in sheet_text(book["Comparison"])
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert list(table.columns) == ["chip", "model", *(item.name for item in COLUMNS)]
    assert len(table) == sum(len(each.cells) for each in found)


def test_the_command_in_korean(grid: str, tmp_path: Path) -> None:
    words = ["--models", "qwen2.5-0.5b", "--grid", grid, "--no-interval", "--lang", "ko", "--out", tmp_path / "out"]
    told = tell("kperf", "rngd", "rngd-plus-max", *words, "--json")
    assert any(name.endswith("comparison.xlsx") for name in told.json["files"])
    text = sheet_text(openpyxl.load_workbook(tmp_path / "out" / "comparison.xlsx")["칩 비교"])
    assert "칩 비교" in text and "설계 예측" in text
    again = tell("kperf", "rngd", "h200", *words, "--json")
    assert again.code == 0
