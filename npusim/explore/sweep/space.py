"""The designs of a sweep: the values of its axes for any run of design numbers, without holding the others.

A design is a place on each coordinate: an axis of its own, or a table whose row gives several axes their values. Axes
that follow others by a formula have no coordinate. Words (a DRAM standard, a policy) stand in the arrays of values as
the index of the option.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import qmc

from npusim.errors import UserError
from npusim.explore.formula import Formula, parse, resolved
from npusim.explore.sweep.spec import SweepSpec, SweptAxis
from npusim.hardware.changes import RUNTIME, holds
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.hardware.runtime import Runtime
from npusim.hardware.system import System
from npusim.ledger import Domain
from npusim.mapping.shared import shared_numbers
from npusim.units import to_si

VARIED = "varied by the sweep"
"""Source of a number that an axis gives."""
_OF_PLANS = ("card.chips", "server.max_cards")
"""Numbers that no step reads: they say which plans there are."""


@dataclass(frozen=True)
class Coupling:
    """A formula with what its names mean: paths of varied numbers, and values of those that are not varied."""

    formula: Formula
    varied: Mapping[str, str]
    usual: Mapping[str, float]

    def of(self, values: Mapping[str, np.ndarray | float]) -> np.ndarray:
        """Its value from those of the varied numbers by path."""
        return self.formula.of({**self.usual, **{name: values[path] for name, path in self.varied.items()}})


@dataclass(frozen=True)
class SpaceAxis:
    """One varied number or word.

    number: None for a word; values: what a list, a table or a grid offers (SI, or the index of an option), None where
    it is drawn from low ... high; options: the words; coordinate: which one it follows, None under a formula.
    """

    path: str
    number: RangedNumber | None
    values: np.ndarray | None
    low: float
    high: float
    is_log: bool
    options: tuple[Any, ...] = ()
    coordinate: int | None = None
    formula: Coupling | None = None

    @property
    def of_runtime(self) -> bool:
        return self.path.startswith(RUNTIME)

    @property
    def is_shared(self) -> bool:
        """True for an assumption that all chips share."""
        return self.number is not None and self.number.is_shared

    @property
    def figure(self) -> RangedNumber:
        """The number of an axis that is one."""
        assert self.number is not None
        return self.number

    def at(self, share: np.ndarray) -> np.ndarray:
        """Values at parts 0...1 of the axis."""
        if self.values is not None:
            positions = np.minimum((share * len(self.values)).astype(np.int64), len(self.values) - 1)
            return self.values[positions]
        drawn = self.low * (self.high / self.low) ** share if self.is_log else self.low + share * (self.high - self.low)
        return np.rint(drawn) if self.figure.is_count else drawn

    def option(self, value: float) -> Any:
        """The word of an index."""
        return self.options[int(value)]

    def told(self, value: float) -> Any:
        """What a description says for a value: the word, or the number with its provenance."""
        if self.number is None:
            return self.option(value)
        unit = self.number.quantity.unit
        return {"value": f"{value!r} {unit}".strip(), "kind": "datasheet", "source": VARIED}

    def value_of(self, told: Any) -> float:
        """The value of what a table of points tells: the number, or the index of the word."""
        if self.number is not None:
            return float(told)
        return float(next(index for index in range(len(self.options)) if self.option_text(index) == told))

    def option_text(self, value: float) -> str:
        """The word of an index as one cell of a table."""
        told = self.option(value)
        return told if isinstance(told, str) else json.dumps(told, sort_keys=True)


def space_axes(spec: SweepSpec, system: System, runtimes: Sequence[Runtime], location: str) -> list[SpaceAxis]:
    """The axes of `spec`, resolved against the descriptions. Raises UserError naming `location` and the key.

    Axes with a coordinate come first, then those that follow them, in the order in which they can be worked out.
    """
    own: list[SpaceAxis] = []
    for coordinate, (path, axis) in enumerate(spec.vary.items()):
        made = _axis(path, axis, spec.method == "grid", system, runtimes, location)
        own.append(replace(made, coordinate=coordinate))
    for coordinate, (name, rows) in enumerate(spec.tables.items(), start=len(spec.vary)):
        for path in rows[0]:
            listed = _listed(path, [row[path] for row in rows], f"tables.{name}", system, runtimes, location)
            own.append(replace(listed, coordinate=coordinate))
    coupled = {path: text for axis in spec.vary.values() for path, text in axis.coupled.items()}
    return own + _coupled(coupled, own, system, runtimes, location)


def design_values(spec: SweepSpec, axes: Sequence[SpaceAxis], first: int, last: int) -> np.ndarray:
    """Values (SI) of the designs first ... last - 1, float64 (designs, axes)."""
    count = len(spec.vary) + len(spec.tables)
    if spec.method == "grid":
        sizes = {axis.coordinate: len(axis.values) for axis in axes if axis.values is not None}
        positions = np.unravel_index(np.arange(first, last), tuple(sizes[index] for index in range(count)))
    else:
        shares = _shares(spec, count, first, last)
    values: dict[str, np.ndarray] = {}
    for axis in axes:
        if axis.formula is not None:
            values[axis.path] = np.broadcast_to(axis.formula.of(values), last - first).astype(np.float64)
            continue
        assert axis.coordinate is not None
        if spec.method == "grid":
            assert axis.values is not None
            values[axis.path] = axis.values[positions[axis.coordinate]]
        else:
            values[axis.path] = axis.at(shares[:, axis.coordinate])
    return np.stack([values[axis.path] for axis in axes], axis=1)


def _shares(spec: SweepSpec, count: int, first: int, last: int) -> np.ndarray:
    """Parts 0...1 of each coordinate, float64 (designs, coordinates)."""
    if spec.method == "sobol":
        sequence = qmc.Sobol(count, rng=spec.seed)
        return np.asarray((sequence.fast_forward(first) if first else sequence).random(last - first))
    column = _random_column if spec.method == "random" else _hypercube_column
    return np.stack([column(spec, each, first, last) for each in range(count)], axis=1)


def _random_column(spec: SweepSpec, column: int, first: int, last: int) -> np.ndarray:
    return np.random.default_rng([spec.seed, column]).random(last)[first:]


def _hypercube_column(spec: SweepSpec, column: int, first: int, last: int) -> np.ndarray:
    """One column of a Latin hypercube: a shuffle of the strata and a place in each (McKay, Beckman, Conover 1979)."""
    random = np.random.default_rng([spec.seed, column])
    strata, within = random.permutation(spec.designs), random.random(spec.designs)
    return (strata[first:last] + within[first:last]) / spec.designs


def known_numbers(system: System, runtime: Runtime) -> dict[str, RangedNumber]:
    """Every number that can be varied, by the path that a specification gives."""
    known = {
        f"{RUNTIME}{number.label}" if number.owner == runtime.name else number.label: number
        for number in all_numbers(system, runtime)
    }
    return known | {f"{number.owner}.{number.label}": number for number in shared_numbers()}


def _number(path: str, system: System, runtimes: Sequence[Runtime], location: str, key: str) -> RangedNumber | None:
    """The number at that path, None for a word. Raises UserError for neither."""
    if path in _OF_PLANS:
        raise UserError(location, f"{key}.{path}", "is what plans are made from; list cards or plans instead")
    for runtime in runtimes:
        known = known_numbers(system, runtime)
        if path not in known:
            described, inner = (runtime, path.removeprefix(RUNTIME)) if path.startswith(RUNTIME) else (system, path)
            if holds(described, inner.split(".")):
                return None
            raise UserError(location, f"{key}.{path}", _unknown(path, list(known), system.name))
    return known[path]


def _unknown(path: str, known: list[str], name: str) -> str:
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    mend = f"did you mean '{near[0]}'?" if near else "see npusim show"
    return f"{name} and its runtime have no such number; {mend}"


def _si(number: RangedNumber, text: Any, location: str, key: str) -> float:
    try:
        value = to_si(text, number.quantity.unit)
        (number.domain or Domain(number.quantity.unit)).check({"value": value}, {"value": text})
    except ValueError as error:
        raise UserError(location, key, str(error)) from error
    return value


def _listed(
    path: str, values: Sequence[Any], key: str, system: System, runtimes: Sequence[Runtime], location: str
) -> SpaceAxis:
    """An axis of listed values."""
    number = _number(path, system, runtimes, location, key)
    if number is None:
        codes = np.arange(len(values), dtype=np.float64)
        return SpaceAxis(path, None, codes, 0.0, len(values) - 1.0, False, tuple(values))
    numbers = np.array([_si(number, text, location, f"{key}.{path}.values") for text in values])
    return SpaceAxis(path, number, numbers, float(numbers.min()), float(numbers.max()), False)


def _axis(
    path: str, axis: SweptAxis, is_grid: bool, system: System, runtimes: Sequence[Runtime], location: str
) -> SpaceAxis:
    if axis.values is not None:
        return _listed(path, axis.values, "vary", system, runtimes, location)
    number = _number(path, system, runtimes, location, "vary")
    if number is None:
        raise UserError(location, f"vary.{path}", "is a word and has no range; list values")
    assert axis.low is not None and axis.high is not None
    low, high = (_si(number, getattr(axis, end), location, f"vary.{path}.{end}") for end in ("low", "high"))
    is_log = axis.scale == "log"
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


def _coupled(
    formulas: Mapping[str, str], own: Sequence[SpaceAxis], system: System, runtimes: Sequence[Runtime], location: str
) -> list[SpaceAxis]:
    """Axes that follow others by formulas, after those that they follow. Raises UserError."""
    described = {path: number.quantity.value for path, number in known_numbers(system, runtimes[0]).items()}
    ends = {axis.path: (axis.low, axis.high) for axis in own if axis.number is not None}
    made: list[SpaceAxis] = []
    left = dict(formulas)
    while left:
        ready = (path for path, text in left.items() if not _waits(parse(text), ends, left.keys() - {path}))
        path = next(ready, None)
        if path is None:
            raise UserError(location, f"with.{next(iter(left))}", "follows itself; give one of them in vary")
        number = _number(path, system, runtimes, location, "with")
        if number is None:
            raise UserError(location, f"with.{path}", "is a word; put it into a table with what it goes with")
        coupling = _meant(parse(left.pop(path)), ends, described, f"with.{path}", location)
        at_ends = [float(coupling.of({name: both[end] for name, both in ends.items()})) for end in (0, 1)]
        ends[path] = min(at_ends), max(at_ends)
        made.append(SpaceAxis(path, number, None, *ends[path], False, formula=coupling))
    return made


def _waits(formula: Formula, known: Iterable[str], left: Iterable[str]) -> bool:
    """Whether a formula names another number that has still to be worked out; its own name is its usual value."""
    return any(resolved(name, known) is None and resolved(name, left) is not None for name in formula.names)


def _meant(
    formula: Formula, varied: Mapping[str, Any], described: Mapping[str, float], key: str, location: str
) -> Coupling:
    """A formula with what its names mean: varied numbers first. Raises UserError."""
    if formula.is_condition:
        raise UserError(location, key, f"'{formula.text}' compares; give a formula of the number")
    paths = {name: path for name in formula.names if (path := resolved(name, varied)) is not None}
    usual = {name: resolved(name, described) for name in formula.names if name not in paths}
    unknown = next((name for name, path in usual.items() if path is None), None)
    if unknown is not None:
        raise UserError(location, key, f"'{unknown}' is no number of which only one ends so; give its whole path")
    return Coupling(formula, paths, {name: described[path] for name, path in usual.items() if path is not None})
