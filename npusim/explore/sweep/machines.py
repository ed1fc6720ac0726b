"""Machines and runtime records of designs: the base's records with the varied numbers put in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ValidationError

from npusim.errors import UserError
from npusim.explore.sweep.space import VARIED, SpaceAxis
from npusim.hardware.calibration import with_quantities
from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.ledger import Domain, Quantity
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import with_shared

STRUCTURE = ("chip.memory.stacks", "chip.memory.channels_per_stack", "chip.memory.access_unit", "chip.pim.")
"""Beginnings of numbers from which an address map and what fits together follow, for each of their values."""
_OF_CHANNELS = ("chip.memory.stacks", "chip.memory.channels_per_stack")
_UNITS = "chip.pim.channels"

_KEPT = 4096
"""Descriptions that are kept: every load of a sweep asks for the same ones."""


@dataclass(frozen=True)
class Records:
    """machines: a `machine_dtype` (designs,); runtimes: RUNTIME_DTYPE (designs,)."""

    machines: np.ndarray
    runtimes: np.ndarray

    def of(self, designs: np.ndarray) -> Records:
        """Those of some designs, by their indices."""
        return Records(self.machines[designs], self.runtimes[designs])


@dataclass(frozen=True)
class Possible:
    """Designs that can be: rows, their positions among those asked for; records of these; refused: reasons of the
    others by position."""

    rows: np.ndarray
    records: Records
    refused: dict[int, str]


class DesignRecords:
    """Makes the records of designs of one deployment, the plan's groups placed on each.

    A number that is only one field of its record is written there; one from which other fields are derived
    has its description built anew for each of its values. Words are those of the deployment: it is made with them.
    """

    def __init__(self, base: Deployment, axes: Sequence[SpaceAxis]) -> None:
        self._base = base
        self._axes = list(axes)
        self._lows = np.array([axis.low for axis in axes])
        self._numbers = [column for column, axis in enumerate(axes) if axis.number is not None]
        self._known: dict[bytes, Deployment | str] = {}
        self._rebuilt = [column for column in self._numbers if not self._is_written(column)]

    def of(self, values: np.ndarray) -> Records:
        """The records of designs with these `values` (designs, axes), SI. Raises UserError where one cannot be."""
        found = self.possible(values)
        if found.refused:
            self.deployment(values[min(found.refused)])
            raise UserError(self._base.system.name, "vary", next(iter(found.refused.values())))
        return found.records

    def possible(self, values: np.ndarray) -> Possible:
        """The records of those designs whose numbers can be, and why the others cannot."""
        kinds, kind_of = np.unique(values[:, self._rebuilt], axis=0, return_inverse=True)
        built, reasons = self._all_built(kinds)
        refused = self._outside(values)
        refused |= {row: reasons[kind] for row, kind in enumerate(kind_of.ravel().tolist()) if kind in reasons}
        rows = np.array([row for row in range(len(values)) if row not in refused], np.int64)
        if not len(rows):
            return Possible(rows, Records(self._base.machine[:0], self._base.runtime_record[:0]), refused)
        places = {kind: place for place, kind in enumerate(built)}
        chosen = np.array([places[kind] for kind in kind_of.ravel()[rows].tolist()])
        machines = np.concatenate([each.machine for each in built.values()])[chosen]
        runtimes = np.concatenate([each.runtime_record for each in built.values()])[chosen]
        for column in self._numbers:
            axis = self._axes[column]
            if column not in self._rebuilt and not axis.is_shared:
                axis.figure.put(runtimes if axis.of_runtime else machines, values[rows, column])
        return Possible(rows, Records(machines, runtimes), refused)

    def deployment(self, values: np.ndarray) -> Deployment:
        """The deployment of one design, values (axes,): its description with these numbers, under the base's plan.

        Raises UserError where the description contradicts itself with them.
        """
        changed: dict[bool, dict[str, Quantity]] = {False: {}, True: {}}
        shared = {}
        for axis, value in zip(self._axes, values.tolist(), strict=True):
            if axis.number is None:
                continue
            if axis.is_shared:
                shared[axis.number] = value
                continue
            known = {"value": value, "low": None, "high": None, "kind": "datasheet", "source": VARIED}
            provenance = axis.number.quantity.model_copy(update=known | {"text": f"{value:g}"})
            changed[axis.of_runtime][axis.number.label] = provenance
        told = _with_units(self._base.system, changed[False])
        system = _checked(with_quantities(self._base.system, told))
        runtime = with_quantities(self._base.runtime, changed[True])
        described = replace(self._base, system=system, runtime=runtime, machine=build_machine(system))
        return with_shared(described, shared).under(self._base.plan)

    def _all_built(self, kinds: np.ndarray) -> tuple[dict[int, Deployment], dict[int, str]]:
        """The descriptions of the kinds that can be, and why the others cannot."""
        built, reasons = {}, {}
        if len(self._known) + len(kinds) > _KEPT:
            self._known.clear()
        for index, kind in enumerate(kinds):
            found = self._known.get(kind.tobytes())
            if found is None:
                try:
                    found = self._built(kind)
                except UserError as error:
                    found = str(error)
                self._known[kind.tobytes()] = found
            if isinstance(found, str):
                reasons[index] = found
            else:
                built[index] = found
        return built, reasons

    def _outside(self, values: np.ndarray) -> dict[int, str]:
        """Designs with a number that a formula made what it cannot be."""
        refused: dict[int, str] = {}
        for column, axis in enumerate(self._axes):
            if axis.formula is None:
                continue
            quantity = axis.figure.quantity
            domain = axis.figure.domain or Domain(quantity.unit)
            for row, value in enumerate(values[:, column].tolist()):
                try:
                    domain.check({"value": value}, {"value": f"{value:g}"})
                except ValueError as error:
                    refused.setdefault(row, f"{axis.path}: {error}")
        return refused

    def _built(self, kind: np.ndarray) -> Deployment:
        """The description with `kind` as the numbers that are built anew, all others at their low ends."""
        values = self._lows.copy()
        values[self._rebuilt] = kind
        return self.deployment(values)

    def _is_written(self, column: int) -> bool:
        """True where another value changes nothing of the records but the number's own field, if it has one."""
        axis, highs = self._axes[column], self._lows.copy()
        if axis.is_shared:
            return True
        if axis.path.startswith(STRUCTURE):
            return False
        highs[column] = axis.high
        try:
            low, high = self.deployment(self._lows), self.deployment(highs)
        except UserError:
            return False
        machines, runtimes = low.machine.copy(), low.runtime_record.copy()
        axis.figure.put(runtimes if axis.of_runtime else machines, axis.high)
        alike = machines.tobytes() == high.machine.tobytes() and runtimes.tobytes() == high.runtime_record.tobytes()
        return alike and (axis.formula is None or axis.low < axis.high)


def _with_units(system: System, changes: dict[str, Quantity]) -> dict[str, Quantity]:
    """The changed numbers by path; units in memory come and go with its channels, unless theirs are varied too."""
    pim, memory = system.chip.pim, system.chip.memory
    if pim is None or _UNITS in changes:
        return changes
    own = dict(zip(_OF_CHANNELS, (memory.stacks, memory.channels_per_stack), strict=True))
    times = math.prod(changes[path].value / own[path].value for path in _OF_CHANNELS if path in changes)
    if times == 1.0:
        return changes
    known = {"value": pim.channels.value * times, "low": None, "high": None, "kind": "derived", "source": VARIED}
    return changes | {_UNITS: pim.channels.model_copy(update=known | {"text": f"{known['value']:g}"})}


def _checked(system: System) -> System:
    """`system`, or UserError where its numbers contradict each other."""
    try:
        return System.model_validate(dict(system))
    except ValidationError as error:
        raise UserError(system.name, "vary", error.errors()[0]["msg"].removeprefix("Value error, ")) from error
