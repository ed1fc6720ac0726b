"""Machines and runtime records of designs: the base's records with the varied numbers put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ValidationError

from npusim.errors import UserError
from npusim.explore.sweep.space import SpaceAxis
from npusim.hardware.calibration import with_quantities
from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import with_shared

_VARIED = "varied by the sweep"
STRUCTURE = ("chip.memory.stacks", "chip.memory.channels_per_stack", "chip.memory.access_unit", "chip.pim.")
"""Beginnings of numbers from which an address map and what fits together follow, for each of their values."""


@dataclass(frozen=True)
class Records:
    """machines: a `machine_dtype` (designs,); runtimes: RUNTIME_DTYPE (designs,)."""

    machines: np.ndarray
    runtimes: np.ndarray

    def of(self, designs: np.ndarray) -> Records:
        """Those of some designs, by their indices."""
        return Records(self.machines[designs], self.runtimes[designs])


class DesignRecords:
    """Makes the records of designs of one deployment, the plan's groups placed on each.

    A number that is only one field of its record is written there; one from which other fields are derived
    has its description built anew for each of its values.
    """

    def __init__(self, base: Deployment, axes: Sequence[SpaceAxis]) -> None:
        self._base = base
        self._axes = list(axes)
        self._lows = np.array([axis.low for axis in axes])
        self._rebuilt = [column for column in range(len(self._axes)) if not self._is_written(column)]

    def of(self, values: np.ndarray) -> Records:
        """The records of designs with these `values` (designs, axes), SI."""
        kinds, kind_of = np.unique(values[:, self._rebuilt], axis=0, return_inverse=True)
        built = [self._built(kind) for kind in kinds]
        machines = np.concatenate([each.machine for each in built])[kind_of.ravel()]
        runtimes = np.concatenate([each.runtime_record for each in built])[kind_of.ravel()]
        for column, axis in enumerate(self._axes):
            if column not in self._rebuilt and not axis.number.is_shared:
                axis.number.put(runtimes if axis.of_runtime else machines, values[:, column])
        return Records(machines, runtimes)

    def deployment(self, values: np.ndarray) -> Deployment:
        """The deployment of one design, values (axes,): its description with these numbers, under the base's plan.

        Raises UserError where the description contradicts itself with them.
        """
        changed: dict[bool, dict[str, Quantity]] = {False: {}, True: {}}
        shared = {}
        for axis, value in zip(self._axes, values.tolist(), strict=True):
            if axis.number.is_shared:
                shared[axis.number] = value
                continue
            known = {"value": value, "low": None, "high": None, "kind": "datasheet", "source": _VARIED}
            provenance = axis.number.quantity.model_copy(update=known | {"text": f"{value:g}"})
            changed[axis.of_runtime][axis.number.label] = provenance
        system = _checked(with_quantities(self._base.system, changed[False]))
        runtime = with_quantities(self._base.runtime, changed[True])
        described = replace(self._base, system=system, runtime=runtime, machine=build_machine(system))
        return with_shared(described, shared).under(self._base.plan)

    def _built(self, kind: np.ndarray) -> Deployment:
        """The description with `kind` as the numbers that are built anew, all others at their low ends."""
        values = self._lows.copy()
        values[self._rebuilt] = kind
        return self.deployment(values)

    def _is_written(self, column: int) -> bool:
        """True where another value changes nothing of the records but the number's own field, if it has one."""
        if self._axes[column].number.is_shared:
            return True
        if self._axes[column].path.startswith(STRUCTURE):
            return False
        axis, highs = self._axes[column], self._lows.copy()
        highs[column] = axis.high
        low, high = self.deployment(self._lows), self.deployment(highs)
        machines, runtimes = low.machine.copy(), low.runtime_record.copy()
        axis.number.put(runtimes if axis.of_runtime else machines, axis.high)
        return machines.tobytes() == high.machine.tobytes() and runtimes.tobytes() == high.runtime_record.tobytes()


def _checked(system: System) -> System:
    """`system`, or UserError where its numbers contradict each other."""
    try:
        return System.model_validate(dict(system))
    except ValidationError as error:
        raise UserError(system.name, "vary", error.errors()[0]["msg"].removeprefix("Value error, ")) from error
