"""What a proposal tells of its risks, its cost and its schedule: shown as told, never judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from npusim.explore.evaluate.claim import FilledText
from npusim.hardware.base import Part, Whole

Grade = Literal["low", "medium", "high"]
"""How likely a risk is, or how much it would do, as a proposal grades it."""


class Risk(Part):
    """A risk that the proposal names."""

    risk: FilledText
    """What may happen."""
    likelihood: Grade | None = None
    """How likely the proposal takes it to be, not told if omitted."""
    impact: Grade | None = None
    """What the proposal takes it to do, not told if omitted."""
    mitigation: FilledText | None = None
    """What the proposal would do against it, not told if omitted."""


class YearBudget(Part):
    """Money of one year."""

    year: Annotated[int, Field(ge=2000, le=2100, strict=True)]
    """Year of the money."""
    amount: Annotated[float, Field(ge=0.0, le=1e15, strict=True)]
    """How much, in the currency of the budget."""


class ToldResources(Part):
    """Cost and schedule as the proposal tells them."""

    months: Whole | None = None
    """Length of the project, in months, not told if omitted."""
    people: Annotated[float, Field(gt=0.0, le=1e6, strict=True)] | None = None
    """People who work on it, in full-time equivalents, not told if omitted."""
    currency: FilledText = "KRW"
    """Currency of the budget."""
    budget: tuple[YearBudget, ...] = Field(default=(), max_length=30)
    """Money by year, not told if omitted."""
