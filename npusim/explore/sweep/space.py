"""The designs of a sweep: the values of its axes for any run of design numbers, without holding the others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from npusim.errors import UserError
from npusim.explore.sweep.spec import Axis, SweepSpec
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.hardware.runtime import Runtime
from npusim.hardware.system import System
from npusim.ledger import Domain
from npusim.mapping.shared import shared_numbers
from npusim.units import to_si

_RUNTIME = "runtime."
_OF_PLANS = ("card.chips", "server.max_cards")
"""Numbers that no step reads: they say which plans there are."""


@dataclass(frozen=True)
class SpaceAxis:
    """One varied number. values: what a list or a grid offers (SI), None where it is drawn from low ... high."""

    path: str
    number: RangedNumber
    values: np.ndarray | None
    low: float
    high: float
    is_log: bool

    @property
    def of_runtime(self) -> bool:
        return self.path.startswith(_RUNTIME)

    def at(self, share: np.ndarray) -> np.ndarray:
        """Values at parts 0...1 of the axis."""
        if self.values is not None:
            positions = np.minimum((share * len(self.values)).astype(np.int64), len(self.values) - 1)
            return self.values[positions]
        drawn = self.low * (self.high / self.low) ** share if self.is_log else self.low + share * (self.high - self.low)
        return np.rint(drawn) if self.number.is_count else drawn


def space_axes(spec: SweepSpec, system: System, runtimes: Sequence[Runtime], location: str) -> list[SpaceAxis]:
    """The axes of `spec`, resolved against the descriptions. Raises UserError naming `location` and the key."""
    axes = []
    for path, axis in spec.vary.items():
        number = _number(path, system, runtimes, location)
        axes.append(_axis(path, axis, number, spec.method == "grid", location))
    return axes


def design_values(spec: SweepSpec, axes: Sequence[SpaceAxis], first: int, last: int) -> np.ndarray:
    """Values (SI) of the designs first ... last - 1, float64 (designs, axes)."""
    if spec.method == "grid":
        sizes = tuple(len(axis.values) for axis in axes if axis.values is not None)
        positions = np.unravel_index(np.arange(first, last), sizes)
        columns = [axis.values[index] for axis, index in zip(axes, positions, strict=True) if axis.values is not None]
        return np.stack(columns, axis=1)
    if spec.method == "sobol":
        sequence = qmc.Sobol(len(axes), rng=spec.seed)
        shares = (sequence.fast_forward(first) if first else sequence).random(last - first)
    else:
        shares = np.stack([_hypercube_column(spec, column, first, last) for column in range(len(axes))], axis=1)
    return np.stack([axis.at(shares[:, column]) for column, axis in enumerate(axes)], axis=1)


def _hypercube_column(spec: SweepSpec, column: int, first: int, last: int) -> np.ndarray:
    """One column of a Latin hypercube: a shuffle of the strata and a place in each (McKay, Beckman, Conover 1979)."""
    random = np.random.default_rng([spec.seed, column])
    strata, within = random.permutation(spec.designs), random.random(spec.designs)
    return (strata[first:last] + within[first:last]) / spec.designs


def _number(path: str, system: System, runtimes: Sequence[Runtime], location: str) -> RangedNumber:
    if path in _OF_PLANS:
        raise UserError(location, f"vary.{path}", "is what plans are made from; list cards or plans instead")
    for runtime in runtimes:
        known = {
            f"{_RUNTIME}{number.label}" if number.owner == runtime.name else number.label: number
            for number in all_numbers(system, runtime)
        }
        known |= {f"{number.owner}.{number.label}": number for number in shared_numbers()}
        if path not in known:
            raise UserError(location, f"vary.{path}", _unknown(path, list(known), system.name))
    return known[path]


def _unknown(path: str, known: list[str], name: str) -> str:
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    mend = f"did you mean '{near[0]}'?" if near else "see npusim show"
    return f"{name} and its runtime have no such number; {mend}"


def _axis(path: str, axis: Axis, number: RangedNumber, is_grid: bool, location: str) -> SpaceAxis:
    def si(text: str | float | int, key: str) -> float:
        try:
            value = to_si(text, number.quantity.unit)
            (number.domain or Domain(number.quantity.unit)).check({"value": value}, {"value": text})
        except ValueError as error:
            raise UserError(location, f"vary.{path}.{key}", str(error)) from error
        return value

    if axis.values is not None:
        values = np.array([si(text, "values") for text in axis.values])
        return SpaceAxis(path, number, values, float(values.min()), float(values.max()), False)
    assert axis.low is not None and axis.high is not None
    low, high, is_log = si(axis.low, "low"), si(axis.high, "high"), axis.scale == "log"
    if low >= high:
        raise UserError(location, f"vary.{path}", f"low ({axis.low}) must be below high ({axis.high})")
    if is_log and low <= 0.0:
        raise UserError(location, f"vary.{path}", "a log scale needs low above zero")
    values = (np.geomspace if is_log else np.linspace)(low, high, axis.count or 1)
    if is_grid and number.is_count and not np.array_equal(values, np.rint(values)):
        raise UserError(
            location, f"vary.{path}", f"{axis.count} steps of a range give fractions of a thing; list values"
        )
    return SpaceAxis(path, number, values if is_grid else None, low, high, is_log)
