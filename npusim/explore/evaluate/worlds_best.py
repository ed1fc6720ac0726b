"""What a proposal tells as the world's best, beside the best levels that npusim knows of with their sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from npusim.errors import UserError
from npusim.explore.evaluate.claim import Amount, Claim, FilledText
from npusim.explore.evaluate.decision import Judged
from npusim.explore.evaluate.peaks import PEAKS
from npusim.explore.evaluate.target_table import Target
from npusim.hardware.base import Part, Users, Whole
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.metric_names import metric, resolve
from npusim.workload.catalog import model_path

CONTRADICTED, QUESTIONED, AGREES = "contradicted", "questioned", "agrees"
BEYOND, NOT_TOLD, NOT_KNOWN = "better than known", "not told", "no row known"
_ROUNDING = 0.05
"""Part by which two levels may differ and still be told of the same result."""
_CONDITIONS = ("precision", "cards", "users", "isl", "osl")


class BestRow(Part):
    """A level that somebody reached."""

    metric: FilledText
    """Metric, as claims name it."""
    model: FilledText | None = None
    """Model, none for a figure of the chip itself."""
    precision: FilledText | None = None
    """Precision scheme, left out where the source does not tell it; so are the conditions below."""
    cards: Whole | None = None
    """Number of cards."""
    users: Users | None = None
    """Number of users."""
    isl: Whole | None = None
    """Prompt length, in tokens."""
    osl: Whole | None = None
    """Answer length, in tokens."""
    value: Amount
    """Level, in the metric's unit."""
    holder: FilledText
    """Who reached it."""
    kind: Literal["measured", "vendor", "datasheet", "simulated"]
    """What the source is."""
    when: FilledText
    """Year or month of the source."""
    source: FilledText
    """Where it is published."""

    @field_validator("metric")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if metric(name) is None and resolve(name) not in PEAKS:
            raise ValueError(f"'{name}' is no metric")
        return name


class WorldsBest(Part):
    """The best levels that are known."""

    title: FilledText
    """What the table holds."""
    rows: tuple[BestRow, ...] = Field(min_length=1)
    """A level each."""


@dataclass(frozen=True)
class ComparedWithWorldsBest:
    """A told world's best beside the best known row of its metric and model. differs: conditions of the row that are
    other than the claim's, or not told of either."""

    status: str
    known: BestRow | None
    differs: tuple[str, ...]


@remembered
def worlds_best() -> WorldsBest:
    """The shipped table. Raises UserError where it is broken."""
    return load_yaml(data_root("validation") / "proposals" / "worlds_best.yaml", WorldsBest)


def compared_with_worlds_best(target: Target, judged: Judged | None, unit_worth: float) -> ComparedWithWorldsBest:
    """What the table says of a told world's best.

    unit_worth: of the target's unit in the metric's. Contradicted: a row under the claim's own conditions is better by
    more than rounding; questioned: one is under conditions that differ or are not told.
    """
    rows = [] if judged is None else _rows_of(judged.claim)
    if judged is None or not rows:
        return ComparedWithWorldsBest(NOT_KNOWN, None, ())
    claim = judged.claim
    sign = 1.0 if claim.wants_more else -1.0
    differs = {row: _differs(row, judged) for row in rows}
    alike = [row for row in rows if not differs[row]]

    def best_of(among: Sequence[BestRow]) -> BestRow:
        return max(among, key=lambda row: sign * row.value)

    if target.world_best is None:
        best = best_of(alike or rows)
        return ComparedWithWorldsBest(NOT_TOLD, best, differs[best])
    told = target.world_best.value * unit_worth
    for status, among in ((CONTRADICTED, alike), (QUESTIONED, rows)):
        better = [row for row in among if _ahead(row.value, told, claim) > _ROUNDING]
        if better:
            return ComparedWithWorldsBest(status, best_of(better), differs[best_of(better)])
    top = best_of(rows)
    near = abs(_ahead(top.value, told, claim)) <= _ROUNDING
    return ComparedWithWorldsBest(AGREES if near else BEYOND, top, differs[top])


def _ahead(known: float, told: float, claim: Claim) -> float:
    """By which part the known level is better than the told one."""
    return known / told - 1.0 if claim.wants_more else told / known - 1.0


def _rows_of(claim: Claim) -> list[BestRow]:
    """Rows of the claim's metric and model; of a ratio there are none."""
    if claim.baseline is not None:
        return []
    model = None if claim.is_peak else _canonical(claim.served_model)
    alike = (row for row in worlds_best().rows if resolve(row.metric) == claim.figure)
    return [row for row in alike if (None if row.model is None else _canonical(row.model)) == model]


@remembered
def _canonical(model: str) -> str:
    """One spelling of a model's aliases."""
    try:
        return str(model_path(model))
    except UserError:
        return model


def _differs(row: BestRow, judged: Judged) -> tuple[str, ...]:
    """Conditions that are not told to be the same of row and claim; of a chip's own figure those that the row tells."""
    return tuple(
        name
        for name in _CONDITIONS
        if not (judged.claim.is_peak and getattr(row, name) is None)
        and (name in judged.open or getattr(row, name) != getattr(judged.claim, name))
    )
