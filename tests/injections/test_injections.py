"""Errors put into sound files of every format are found, and sound files are not accused: tables kept as a golden."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from cli_support import tell
from errors import scaled
from lab_files import plain_csv
from scoring import ACCUSED, MISSED, confusion, false_alarms
from sound_rows import DATA, engine_runs

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "injections.json"
CAUGHT, ALARMS = 0.90, 0.02
"""Parts of the errors that are caught in every format at least, and of the sound rows that are accused at most."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    tables = {"errors": confusion(), "sound": false_alarms()}
    if os.environ.get("NPUSIM_REWRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(tables, indent=1) + "\n")
    return tables


def test_the_confusion_tables_are_those_that_are_kept(found: dict[str, Any]) -> None:
    assert found == json.loads(GOLDEN.read_text())


def test_most_errors_are_caught_in_every_format(found: dict[str, Any]) -> None:
    for name, scores in found["errors"].items():
        caught = sum(score != MISSED for score in scores.values())
        assert caught >= CAUGHT * len(scores), name


def test_hardly_a_sound_row_is_accused(found: dict[str, Any]) -> None:
    rows, accused = (sum(each[key] for each in found["sound"].values()) for key in ("rows", ACCUSED))
    assert rows > 250 and accused <= ALARMS * rows


def test_the_page_shows_the_tables_that_are_kept() -> None:
    made = runpy.run_path(str(GOLDEN.parents[2] / "docs" / "make_confusion.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run python docs/make_confusion.py"


@pytest.mark.parametrize(("factor", "rows", "too_fast"), [(1.0, 21, False), (1.2, 16, True)])
def test_a_whole_table_that_is_too_fast_is_seen(tmp_path: Path, factor: float, rows: int, too_fast: bool) -> None:
    """On H200 with the engine that its calibration knows, each row alone plausible."""
    table = [row | scaled(factor)(row) for row in engine_runs()[:rows]]
    answer = tell("check", plain_csv(tmp_path, table), "--json").json
    (found,) = answer["common_factors"]
    assert found["too_fast"] == too_fast and 1.1 < found["seen"] < 1.2
    told = [row for row in answer["rows"] if any(each["rule"] == "common factor" for each in row["remarks"])]
    assert len(told) == len(found["rows"]) >= 4
    accused = {row["bound"] for row in answer["rows"] if row["verdict"] == "implausible"}
    assert ("common factor" in accused) == too_fast
    assert all(row["smallest_inflation_seen"] > 1.0 for row in answer["rows"])


@pytest.mark.parametrize("table", ["rngd/serving.csv", "gpu_public/rtx_serving.csv"])
def test_no_published_table_is_accused_as_a_whole(table: str) -> None:
    factors = tell("check", DATA / table, "--json").json["common_factors"]
    assert factors and not any(each["too_fast"] for each in factors)
