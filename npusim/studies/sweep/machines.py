"""Machines and runtime records of designs: the base's records with the varied numbers put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.hardware.machine import build_machine
from npusim.hardware.overlay import with_quantities
from npusim.hardware.runtime_record import build_runtime
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.studies.sweep.space import SpaceAxis


@dataclass(frozen=True)
class Records:
    """machines: MACHINE_DTYPE (designs,); runtimes: RUNTIME_DTYPE (designs,)."""

    machines: np.ndarray
    runtimes: np.ndarray


class DesignRecords:
    """Makes the records of designs of one deployment.

    A number that stands in one field of its record alone is written there; one from which other fields are derived
    has its description built anew for each of its values.
    """

    def __init__(self, base: Deployment, axes: Sequence[SpaceAxis]) -> None:
        self._base = base
        self._axes = list(axes)
        self._rebuilt = [column for column, axis in enumerate(axes) if not self._stands_alone(axis)]

    def of(self, values: np.ndarray) -> Records:
        """The records of designs with these `values` (designs, axes), SI."""
        machines = np.repeat(self._base.machine, len(values))
        runtimes = np.repeat(self._base.runtime_record, len(values))
        if self._rebuilt:
            self._rebuild(values, machines, runtimes)
        for column, axis in enumerate(self._axes):
            if column not in self._rebuilt:
                self._write(axis, values[:, column], runtimes if axis.of_runtime else machines)
        return Records(machines, runtimes)

    def deployment(self, values: np.ndarray) -> Deployment:
        """The deployment of one design, values (axes,), for engines that read its records."""
        records = self.of(values[np.newaxis])
        return self._base.with_records(records.machines, records.runtimes)

    def _rebuild(self, values: np.ndarray, machines: np.ndarray, runtimes: np.ndarray) -> None:
        kinds, place = np.unique(values[:, self._rebuilt], axis=0, return_inverse=True)
        for kind, combination in enumerate(kinds):
            axes = [self._axes[column] for column in self._rebuilt]
            built = self._built(axes, combination.tolist())
            which = place.ravel() == kind
            machines[which], runtimes[which] = built.machines[0], built.runtimes[0]

    def _built(self, axes: Sequence[SpaceAxis], values: Sequence[float]) -> Records:
        """Records of the description with these numbers in it."""
        changed: dict[bool, dict[str, Quantity]] = {False: {}, True: {}}
        for axis, value in zip(axes, values, strict=True):
            quantity = axis.number.quantity
            certificate = quantity.model_copy(update={"value": value, "low": None, "high": None, "text": f"{value:g}"})
            changed[axis.of_runtime][axis.number.label] = certificate
        system = with_quantities(self._base.system, changed[False])
        runtime = with_quantities(self._base.runtime, changed[True])
        return Records(build_machine(system), build_runtime(runtime, system))

    def _stands_alone(self, axis: SpaceAxis) -> bool:
        """True where building the description with another value changes nothing but the number's own field."""
        other = axis.low if axis.low != axis.number.quantity.value else axis.high
        built = self._built([axis], [other])
        written = replace(built, machines=self._base.machine.copy(), runtimes=self._base.runtime_record.copy())
        self._write(axis, np.array([other]), written.runtimes if axis.of_runtime else written.machines)
        return (
            written.machines.tobytes() == built.machines.tobytes()
            and written.runtimes.tobytes() == built.runtimes.tobytes()
        )

    @staticmethod
    def _write(axis: SpaceAxis, values: np.ndarray, records: np.ndarray) -> None:
        if axis.number.place is None:
            records[axis.number.name] = values
        else:
            records[axis.number.name][:, axis.number.place] = values
