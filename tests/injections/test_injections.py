"""Errors put into sound files of every format are found, and sound files are not accused: tables kept as a golden."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from scoring import ACCUSED, MISSED, confusion, false_alarms

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
