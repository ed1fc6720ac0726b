"""Collectives between the GPUs of one board, from published tables: 16-bit elements of the full vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.hardware.catalog import load_system
from npusim.hardware.collectives import OPERATIONS
from npusim.hardware.machine import GROUP_TENSOR, PLACED, build_machine
from npusim.inputs import remembered
from npusim.kernels.collective import collective_time
from npusim.mapping.placement import write_group, write_transports
from npusim.units import MS_PER_S

_NAMES = {"alltoall": "all_to_all"} | {name: name for name in OPERATIONS}
_ELEMENT_BYTES = 2


@dataclass(frozen=True)
class CollectivePredictor:
    """A collective of the fabric's first library over neighbouring chips."""

    arch: str
    operation: int
    ranks: int
    byte_count: int

    @property
    def runtime(self) -> str:
        return load_system(self.arch, uncalibrated=True).runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """ms."""
        machine = placed_machine(self, numbers)[0]
        time_s = collective_time(self.operation, float(self.byte_count), GROUP_TENSOR, machine)
        return {"ms": float(time_s) * MS_PER_S}


def placed_machine(predictor: CollectivePredictor, numbers: Numbers) -> np.ndarray:
    """The machine of the numbers, array of shape (1,), on which the ranks are placed as one group."""
    machine = numbers.machine.copy()
    for name, placed in zip(PLACED, _placed(predictor.arch, predictor.ranks), strict=True):
        machine[name] = placed
    return machine


def _cases(row: Row, arch: str) -> list[Case]:
    """ms of each row."""
    name, ranks = _NAMES.get(row.text("op_name").lower()), row.count("num_gpus")
    if name is None:
        raise Unrepresentable(f"no collective '{row.text('op_name')}'; known: {', '.join(_NAMES)}")
    joined = load_system(arch, uncalibrated=True).server.fabric.chips
    if not 2 <= ranks <= joined:
        raise Unrepresentable(f"{ranks} ranks; the fabric of {arch} joins 2 to {joined}")
    elements = row.count("elements")
    return cases_of(
        row,
        (Figure("ms", "ms", sources().spreads.public_kernel.value, main=True),),
        CollectivePredictor(arch, OPERATIONS.index(name), ranks, elements * _ELEMENT_BYTES),
        group=f"{name} {ranks}",
        model=f"{ranks} ranks",
        dimensions={"op": name, "ranks": str(ranks), "op x ranks": f"{name} x{ranks}", "elements": str(elements)},
    )


@remembered
def _placed(arch: str, ranks: int) -> tuple[np.ndarray, ...]:
    system = load_system(arch, uncalibrated=True)
    machine = build_machine(system)
    write_group(machine, system.server.fabric, GROUP_TENSOR, (tuple(range(ranks)),))
    write_transports(machine, system.server.fabric, ())
    return tuple(machine[name] for name in PLACED)


KIND = TableKind(
    name="public_collectives",
    columns="op_name num_gpus elements ms",
    main="ms",
    telling=("op", "ranks", "op x ranks"),
    cases=of_chip(_cases),
    regime=lambda case: case.dimensions["op"],
)
