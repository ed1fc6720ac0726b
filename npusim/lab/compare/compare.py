"""Two labs' figures in pairs: one cell and one figure each, and what all pairs have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from npusim.lab.cells import Cell
from npusim.lab.compare.agreement import LabFactor, LabPrecision, common_factor, en_score, precision_of
from npusim.lab.compare.labs import ComparedLab, Uncertain, read_lab
from npusim.lab.files.lab_run import RunConditions
from npusim.metric_names import metric
from npusim.metrics import REPRESENTATIVE


@dataclass(frozen=True)
class Pair:
    """A figure of a cell in both labs. ratio: of the second to the first; en: None for the reason that is told."""

    cell: Cell
    metric: str
    one: Uncertain
    other: Uncertain
    en: float | None
    reason: str
    precision: LabPrecision | None
    differ: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        return self.other.mean / self.one.mean if self.one.mean > 0.0 and self.other.mean > 0.0 else None

    @property
    def relative(self) -> float | None:
        """Relative standard uncertainty of the ratio; None where that of either figure is not known."""
        parts = [
            each.standard / each.mean for each in (self.one, self.other) if each.standard is not None and each.mean
        ]
        return math.hypot(*parts) if len(parts) == len(_LABS) else None

    def as_dict(self, k: float) -> dict[str, Any]:
        row = metric(self.metric)
        told: dict[str, Any] = {}
        for name, lab in zip(_LABS, (self.one, self.other), strict=True):
            told |= {f"x_{name}": lab.mean, f"runs_{name}": lab.runs, f"basis_{name}": lab.basis}
            told |= {f"u_{name}": lab.standard, f"U_{name}": None if lab.standard is None else k * lab.standard}
        return {
            "cell": self.cell.as_dict(),
            "metric": self.metric,
            "unit": row.unit if row else "",
            **told,
            "ratio": self.ratio,
            "en": self.en,
            "agrees": None if self.en is None else self.en <= 1.0,
            "reason": self.reason,
            "s_r": self.precision.repeatability if self.precision else None,
            "s_R": self.precision.reproducibility if self.precision else None,
            "conditions_differ": list(self.differ),
        }


_LABS = ("a", "b")


@dataclass(frozen=True)
class Compared:
    """labs: both; pairs: by cell and figure; unpaired: cells, with the lab that has them and why; k: coverage factor;
    main: the figure of the common factor, "" without any."""

    labs: tuple[ComparedLab, ComparedLab]
    pairs: tuple[Pair, ...]
    unpaired: tuple[tuple[str, Cell, str], ...]
    k: float
    factors: dict[str, LabFactor]
    main: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the contract."""
        return {
            "labs": [{"lab": lab.name, "cells": len(lab.cells), "runs": sum(map(len, lab.cells.values()))}
                     for lab in self.labs],
            "coverage_factor": self.k,
            "pairs": [pair.as_dict(self.k) for pair in self.pairs],
            "unpaired": [{"lab": lab, "cell": cell.as_dict(), "reason": reason} for lab, cell, reason in self.unpaired],
            "factor": {**_factor(self.factors.get(self.main)), "metric": self.main or None},
            "factors": {name: _factor(factor) for name, factor in self.factors.items()},
            "unread": [{"place": each.location, "reason": each.reason} for lab in self.labs for each in lab.unread],
        }  # fmt: skip


def _factor(found: LabFactor | None) -> dict[str, Any]:
    """Of the second lab over the first."""
    names = ("value", "low", "high", "cells")
    return dict.fromkeys(names) if found is None else {name: getattr(found, name) for name in names}


def compare_labs(one: Path, other: Path, k: float) -> Compared:
    """Pair what two labs measured. k: coverage factor of expanded uncertainties. Raises UserError."""
    labs = read_lab(one), read_lab(other)
    both = [cell for cell in labs[0].cells if cell in labs[1].cells]
    pairs = tuple(pair for cell in both for pair in _pairs(cell, labs, k))
    factors = {}
    for name in dict.fromkeys(pair.metric for pair in pairs):
        known = [(pair.ratio, pair.relative) for pair in pairs if pair.metric == name and pair.ratio is not None]
        found = common_factor([ratio for ratio, _ in known], [relative for _, relative in known])
        if found is not None:
            factors[name] = found
    main = next((name for name in REPRESENTATIVE if name in factors), "")
    return Compared(labs, pairs, tuple(_unpaired(labs)), k, factors, main)


def _pairs(cell: Cell, labs: tuple[ComparedLab, ComparedLab], k: float) -> Iterator[Pair]:
    differ = tuple(_differences(cell, labs))
    for name in labs[0].figures(cell):
        if name not in labs[1].figures(cell):
            continue
        one, other = (lab.uncertain(cell, name) for lab in labs)
        reasons = [f"{lab.name}: {each.basis}" for lab, each in zip(labs, (one, other), strict=True)
                   if each.standard is None]  # fmt: skip
        en = None
        if one.standard is not None and other.standard is not None:
            en = en_score(one.mean, other.mean, k * one.standard, k * other.standard)
            reasons = [] if en is not None else ["repeats and stated uncertainties of both labs are zero"]
        repeated = [each for lab in labs if (each := lab.repeated(cell, name)) is not None]
        yield Pair(cell, name, one, other, en, "; ".join(reasons), precision_of(repeated), differ)


def _differences(cell: Cell, labs: tuple[ComparedLab, ComparedLab]) -> Iterator[str]:
    """Conditions that both labs tell, and tell otherwise."""
    for name in RunConditions.names():
        if name in _IN_CELL:
            continue
        values = [
            {value for repeat in lab.cells[cell] if (value := getattr(repeat.run.setting, name)) is not None}
            for lab in labs
        ]
        if all(values) and values[0] != values[1]:
            told = " and ".join(", ".join(sorted(map(str, each))) for each in values)
            yield f"{name}: {told}"


_IN_CELL = ("device", "model", "precision", "cards", "isl", "osl", "users")


def _unpaired(labs: tuple[ComparedLab, ComparedLab]) -> Iterator[tuple[str, Cell, str]]:
    """Cells that one lab alone has, each with the nearest one of the other."""
    for own, its in (labs, labs[::-1]):
        for cell in own.cells:
            if cell not in its.cells:
                yield own.name, cell, _why_alone(cell, its)


def _why_alone(cell: Cell, lab: ComparedLab) -> str:
    def apart(other: Cell) -> list[str]:
        return [each.name for each in fields(Cell) if getattr(cell, each.name) != getattr(other, each.name)]

    nearest = min(lab.cells, key=lambda other: len(apart(other)), default=None)
    if nearest is None:
        return f"{lab.name} has no run"
    told = (
        f"{name} {_value(getattr(nearest, name))} instead of {_value(getattr(cell, name))}" for name in apart(nearest)
    )
    return f"{lab.name} did not measure it; its nearest cell has {', '.join(told)}"


def _value(value: Any) -> str:
    return "untold" if value is None else str(value)
