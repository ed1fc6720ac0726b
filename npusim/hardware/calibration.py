"""A calibration: numbers fitted to measured runs, which replace those of the descriptions that they came from.

The calibration is a YAML file of its own; an architecture names it under `calibration:`, so that fitted numbers stay
apart from published ones and can be switched off.
"""

from __future__ import annotations

import math
from collections.abc import Container
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Correlation, Day, Part, Spread
from npusim.hardware.residuals import LeftOut, Residual, half_width
from npusim.hardware.yaml_file import load_yaml
from npusim.ledger import Domain, Provenance, Quantity, provenances
from npusim.units import to_si
from npusim.words import Phrase

_SAME = 1e-9
"""Largest relative difference of two spellings of one number."""
_Described = TypeVar("_Described", bound=BaseModel)


class CalibratedNumber(Part):
    """One fitted number."""

    owner: str
    """Name of the architecture or runtime that holds the number."""
    path: str
    """Dotted path of the number in its owner's description."""
    value: str
    """Posterior mean, with its unit."""
    sd: str
    """Posterior standard deviation, in the unit of the value."""
    low: str
    """Lower end of the 90 % interval, with its unit."""
    high: str
    """Upper end of the 90 % interval, with its unit."""
    prior: str
    """Value before the fit, with its unit."""
    identified: Spread
    """Ratio of the posterior to the prior standard deviation; 1 means that the data say nothing."""

    def was(self, quantity: Quantity) -> bool:
        """True where that is the number as it was before the fit."""
        try:
            return math.isclose(to_si(self.prior, quantity.unit), quantity.value, rel_tol=_SAME)
        except ValueError:
            return True


class Calibration(Part):
    """Fitted numbers of an architecture and its runtimes, and what stays unexplained."""

    name: str
    """Name under which it is looked up and shown."""
    arch: str
    """Name of the architecture to which it was fitted."""
    date: Day
    """Day of the fit, as 2026-11-27."""
    source: str
    """Measured tables to which it was fitted."""
    numbers: tuple[CalibratedNumber, ...] = Field(min_length=1)
    """Fitted numbers."""
    correlation: tuple[tuple[Correlation, ...], ...] = ()
    """Correlation of the numbers' posterior in their order, -1 to 1: the rows of the lower triangle without the
    diagonal."""
    residuals: tuple[Residual, ...] = ()
    """Errors that the fit leaves unexplained, by metric and regime."""
    left_out: tuple[LeftOut, ...] = ()
    """Errors on groups of runs that the fit had not seen."""

    @model_validator(mode="after")
    def _correlation_is_a_triangle(self) -> Calibration:
        lengths = [len(row) for row in self.correlation]
        if lengths and lengths != list(range(len(self.numbers))):
            raise ValueError("correlation must have a row for each number, with one entry for each number before it")
        return self

    def correlation_matrix(self) -> np.ndarray:
        """Correlation of the numbers' posterior, (numbers, numbers)."""
        size = len(self.numbers)
        matrix = np.eye(size)
        for row, values in enumerate(self.correlation):
            matrix[row, : len(values)] = matrix[: len(values), row] = values
        return matrix

    def half_width(self, metric: str, regime: str) -> float | None:
        """90 % half-width of log(measured / predicted) on held-out groups; None where none was measured."""
        return half_width(self.residuals, metric, regime)

    @property
    def of_another(self) -> bool:
        """Whether it was fitted to another chip than the one that it is for."""
        return False

    def holds_for(self, owner: str) -> bool:
        """True where a number of the architecture or runtime `owner` was fitted."""
        return any(number.owner == owner for number in self.numbers)

    def lent(self, owner: str, heir: str, inherited: Container[str]) -> InheritedCalibration:
        """The calibration for `heir`, an architecture or runtime that inherits from `owner`.

        The posterior holds for the numbers at the paths `inherited`, with their correlations; those that the heir
        replaces are no longer calibrated.
        """
        kept = [index for index, each in enumerate(self.numbers) if each.owner != owner or each.path in inherited]
        numbers = tuple(
            each.model_copy(update={"owner": heir}) if each.owner == owner else each
            for each in (self.numbers[index] for index in kept)
        )
        matrix = self.correlation_matrix()[np.ix_(kept, kept)]
        told = {
            "arch": heir if owner == self.arch else self.arch,
            "numbers": numbers,
            "correlation": tuple(tuple(row[:index].tolist()) for index, row in enumerate(matrix)),
            "fitted_to": getattr(self, "fitted_to", self.arch),
            "replaced": getattr(self, "replaced", 0) + len(self.numbers) - len(kept),
        }
        return InheritedCalibration.model_construct(**{**dict(self), **told})

    def without(self, owner: str, paths: Container[str]) -> Calibration:
        """The calibration where numbers at these paths of `owner` are other ones."""
        own = [each.path for each in self.numbers if each.owner == owner]
        kept = frozenset(path for path in own if path not in paths)
        return self if len(kept) == len(own) else self.lent(owner, owner, kept)

    def held_by(self, owner: str, description: BaseModel) -> Calibration:
        """The calibration for a description called `owner`, without numbers that are not what they were before the fit.

        A copy of a description in which one was changed is meant as it is written.
        """
        known = {told.path: told.quantity for told in provenances(owner, description)}
        own = [each for each in self.numbers if each.owner == owner]
        kept = frozenset(each.path for each in own if each.path not in known or each.was(known[each.path]))
        return self if len(kept) == len(own) else self.lent(owner, owner, kept)

    def apply(self, owner: str, description: _Described) -> _Described:
        """`description` with the fitted numbers of `owner`. Raises UserError for a path that it does not have."""
        changes = {number.path: number for number in self.numbers if number.owner == owner}
        if not changes:
            return description
        known = {provenance.path: provenance for provenance in provenances(owner, description)}
        for path in changes:
            if path not in known:
                raise UserError(self.name, f"{owner}.{path}", "the description has no such number; calibrate again")
        replaced = {path: self._quantity(number, known[path]) for path, number in changes.items()}
        return with_quantities(description, replaced)

    def _quantity(self, number: CalibratedNumber, known: Provenance) -> Quantity:
        unit = known.quantity.unit
        written = {key: getattr(number, key) for key in ("value", "sd", "low", "high")}
        try:
            numbers = {key: to_si(text, unit) for key, text in written.items()}
            to_si(number.prior, unit)
            (known.domain or Domain(unit)).check(numbers, written)
        except ValueError as error:
            raise UserError(self.name, f"{number.owner}.{number.path}", str(error)) from error
        return Quantity(**numbers, unit=unit, kind="calibrated", source=self.source, date=self.date, text=number.value)


class InheritedCalibration(Calibration):
    """A calibration as it holds for a description that inherits from the one that it was fitted to."""

    fitted_to: str
    """Name of the architecture to which it was fitted."""
    replaced: int
    """Number of its numbers that the heir replaces, for which it does not hold."""

    @property
    def of_another(self) -> bool:
        """Whether the heir is another chip: it has a name of its own, and other numbers than those that were fitted."""
        return self.arch != self.fitted_to and self.replaced > 0


def same_numbers(base: BaseModel, heir: BaseModel) -> frozenset[str]:
    """Paths of the numbers that `heir` has from `base` as they are: value, range and provenance."""
    known = {each.path: each.quantity for each in provenances("", base)}
    return frozenset(each.path for each in provenances("", heir) if known.get(each.path) == each.quantity)


def calibration_text(calibration: Calibration | None, runtime: str) -> Phrase:
    """What the numbers of a prediction under `runtime` come from, in one line."""
    if calibration is None:
        return Phrase("uncalibrated: datasheet, published and assumed numbers only")
    told: dict[str, Any] = {
        "name": calibration.name,
        "date": calibration.date,
        "source": calibration.source,
        "count": len(calibration.numbers),
    }
    if isinstance(calibration, InheritedCalibration) and calibration.replaced:
        told |= {"fitted_to": calibration.fitted_to, "replaced": calibration.replaced}
        return Phrase(
            "calibrated as {fitted_to} where it inherits from it: {name}, {date}, {source}; {count} numbers, "
            "{replaced} replaced ones no longer calibrated",
            told,
        )
    if calibration.holds_for(runtime):
        return Phrase("calibrated: {name}, {date}, {source}; {count} numbers", told)
    return Phrase(
        "calibrated: {name}, {date}, {source}; {count} numbers, none of them of the runtime {runtime}",
        told | {"runtime": runtime},
    )


def load_calibration(path: Path) -> Calibration:
    """The calibration in that file. Raises UserError."""
    return load_yaml(path, Calibration)


def with_quantities(description: _Described, replaced: dict[str, Quantity], prefix: str = "") -> _Described:
    """A copy of a description with quantities at dotted paths (as `ledger.provenances` names them) replaced."""
    changes: dict[str, Any] = {}
    for name in type(description).model_fields:
        value, path = getattr(description, name), f"{prefix}{name}"
        if path in replaced:
            changes[name] = replaced[path]
        elif isinstance(value, BaseModel) and not isinstance(value, Quantity):
            changes[name] = with_quantities(value, replaced, f"{path}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            changes[name] = tuple(
                with_quantities(item, replaced, f"{path}.{getattr(item, 'name', index)}.")
                for index, item in enumerate(value)
            )
    return description.model_copy(update=changes)
