"""The table of quantitative targets of a proposal: item, weight, world's best, domestic level, targets by year."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from npusim.explore.evaluate.claim import Amount, FilledText
from npusim.explore.evaluate.event_driven import EventDriven
from npusim.hardware.base import Part

_WHOLE = 100.0
_ROUNDING = 0.05
"""Percent by which weights that are written with a decimal may miss 100."""


class TargetLevel(Part):
    """A level that was reached elsewhere, as the proposal tells it."""

    value: Amount
    """Value, in the unit of the target."""
    holder: FilledText
    """Who reached it."""
    source: FilledText | None = None
    """Where that is published, not told if omitted."""


class YearTarget(Part):
    """What is to be reached in one year."""

    year: Annotated[int, Field(ge=2000, le=2100, strict=True)]
    """Year of the target."""
    at_least: Amount | None = None
    """Target as a lower limit, in the unit of the item."""
    at_most: Amount | None = None
    """Target as an upper limit, in the unit of the item."""

    @model_validator(mode="after")
    def _one_side(self) -> YearTarget:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        return self

    @property
    def value(self) -> float:
        value = self.at_most if self.at_least is None else self.at_least
        assert value is not None
        return value


class Target(Part):
    """One item of the table."""

    item: FilledText
    """What is measured."""
    unit: str
    """Unit of its values; of an item of a claim one that measures the claim's metric."""
    weight_percent: Annotated[float, Field(gt=0.0, le=100.0, strict=True)]
    """Weight of the item, in percent of all."""
    claim: FilledText | None = None
    """Claim whose figure and conditions the item has, none of those that npusim can predict if omitted."""
    not_decidable: FilledText | None = None
    """Why no claim is tied to it (papers, patents, accuracy), not told if omitted."""
    event_driven: EventDriven | None = None
    """Event-driven unit or hybrid by whose bounds it is judged, in place of a claim; none if omitted."""
    world_best: TargetLevel | None = None
    """The best in the world as the proposal tells it, not told if omitted."""
    domestic: TargetLevel | None = None
    """The domestic level as the proposal tells it, not told if omitted."""
    years: tuple[YearTarget, ...] = Field(min_length=1, max_length=30)
    """Targets by year, the earliest first."""
    test_method: FilledText | None = None
    """How it is tested, not told if omitted."""
    certifier: FilledText | None = None
    """Body that tests or certifies it, not told if omitted."""
    basis: FilledText | None = None
    """Where the target comes from (a call, a standard, npusim's own), not told if omitted."""

    @field_validator("years")
    @classmethod
    def _rise(cls, years: tuple[YearTarget, ...]) -> tuple[YearTarget, ...]:
        if any(later.year <= earlier.year for earlier, later in pairwise(years)):
            raise ValueError("every year must be later than the one before it")
        if len({each.at_least is None for each in years}) > 1:
            raise ValueError("all targets of an item are at_least, or all are at_most")
        return years

    @model_validator(mode="after")
    def _reason_or_claim(self) -> Target:
        if self.claim is not None and self.not_decidable is not None:
            raise ValueError("not_decidable: is of an item without a claim; remove one of them")
        if self.event_driven is not None:
            if self.claim is not None or self.not_decidable is not None:
                raise ValueError("event_driven: judges the item by bounds; take claim and not_decidable out")
            self.event_driven.require(self.unit, self.wants_more)
        return self

    @property
    def wants_more(self) -> bool:
        return self.years[0].at_least is not None


def require_whole(targets: Sequence[Target]) -> None:
    """Raises ValueError unless the weights of a table are 100 % together and its items differ."""
    total = math.fsum(each.weight_percent for each in targets)
    if targets and abs(total - _WHOLE) > _ROUNDING:
        raise ValueError(f"weight_percent: the weights sum to {total:g} %; make them 100 %")
    items = [each.item for each in targets]
    twice = next((item for item in items if items.count(item) > 1), None)
    if twice is not None:
        raise ValueError(f"item: two targets are named '{twice}'")
