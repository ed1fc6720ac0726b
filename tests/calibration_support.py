"""An H200 of which only a few numbers have a range, and tables of its own predictions, for tests of calibration."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from npusim.evidence.calibration.problem import Problem
from npusim.evidence.measured.importer import import_table
from npusim.hardware.catalog import load_system
from npusim.hardware.data import data_root

STEPS = Path(__file__).parent.parent / "validation" / "data" / "h200" / "steps.csv"
FREE = ("cublas.efficiency.bf16", "block-fp8.efficiency.bf16", "cublas.efficiency.fp8", "memory.stream_efficiency")
"""What stays ranged: the ends of dotted paths."""
EVERY = 5


def few_ranges(folder: Path, calibration: str = "") -> Path:
    """A copy of the H200's description in `folder`, every range but those of FREE taken away."""
    described = YAML(typ="safe").load((data_root("arch_configs") / "h200.yaml").read_text(encoding="utf-8"))
    _fix(described, "")
    described.pop("calibration", None)
    if calibration:
        described["calibration"] = calibration
    path = folder / "h200.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(described, file)
    return path


def _fix(node: Any, path: str) -> None:
    if isinstance(node, dict) and {"value", "kind", "source"} <= node.keys():
        if not path.endswith(FREE):
            node["kind"] = "derived"
            node.pop("low", None)
            node.pop("high", None)
    elif isinstance(node, dict):
        for key, value in node.items():
            _fix(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _fix(value, f"{path}.{value.get('name', index) if isinstance(value, dict) else index}")


def few_steps(path: Path, times: Callable[[list[float]], Sequence[float]] | None = None, every: int = EVERY) -> Path:
    """Each `every`-th shipped step in a table at `path`, without power; `times` makes its times of the shipped ones."""
    with STEPS.open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))[::every]
    shipped = [float(row["us"]) for row in rows]
    for row, time in zip(rows, times(shipped) if times else shipped, strict=True):
        row |= {"us": str(time), "us_p5": "", "us_p95": "", "power_w": ""}
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def problem(arch: Path, table: Path) -> Problem:
    """The problem of a table on that architecture, over the numbers that move it."""
    made = Problem(load_system(str(arch), uncalibrated=True), import_table(table, str(arch)).cases, 0)
    made.choose_sensitive()
    return made


def predicted_at(arch: Path, table: Path, z: float) -> np.ndarray:
    """The times of the table's rows with every chosen number `z` prior standard deviations off, microseconds."""
    made = problem(arch, table)
    return made.predicted(np.full(len(made.chosen), z))
