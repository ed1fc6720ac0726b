"""Energies and areas that silicon gave, carried over to a chip that differs from it.

A description that names a `reference` takes what was measured on that architecture as far as the two are alike: its
energies, its static power and its die area are multiplied by the ratio of both bottom-up sums. The reference itself has
a ratio of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npusim.hardware.system import System
from npusim.hardware.technology.area import AreaModel, modelled_area_mm2
from npusim.hardware.technology.energy import EnergyTable, energy_table, totals
from npusim.hardware.technology.ranges import Ranged, ranged
from npusim.inputs import remembered

_FIELDS = {
    "mac_bf16": "power_mac_bf16",
    "mac_fp8": "power_mac_fp8",
    "mac_int8": "power_mac_int8",
    "mac_int4": "power_mac_int4",
    "vector": "power_vector_op",
    "memory_read": "power_memory_byte",
    "idle": "power_idle",
    "loaded": "power_loaded_static",
}
"""Fields of a machine's record that follow the bottom-up sum of a part."""
_TOLD = {**_FIELDS, "link": "power_link_byte"}


class _Silicon(NamedTuple):
    """The architecture that was measured, and its machine as described."""

    system: System
    machine: np.ndarray


@remembered
def _silicon(name: str) -> _Silicon:
    # The catalogue of architectures and the machines made of them are known only once descriptions are.
    from npusim.hardware.catalog import load_system
    from npusim.hardware.machine import described_machine

    system = load_system(name, uncalibrated=True)
    return _Silicon(system, described_machine(system))


@remembered
def _silicon_totals(name: str) -> dict[str, float]:
    return {part: float(sums[0]) for part, sums in totals(*_silicon(name)).items()}


def follow_reference(system: System, machines: np.ndarray) -> None:
    """Carry the energies of the machines of `system` over from its reference, where it names one."""
    name = system.chip.reference
    if name is None:
        return
    measured = _silicon_totals(name)
    for part, sums in totals(system, machines).items():
        if part in _FIELDS:
            machines[_FIELDS[part]] *= sums / measured[part]


def area_mm2(system: System, machines: np.ndarray, model: AreaModel | None = None) -> np.ndarray:
    """Area of all compute dies of each machine, mm2 (machines,): that of the model, times what the published area of
    the reference (or of the chip itself) is over the model's."""
    modelled = modelled_area_mm2(system, machines, model)
    factor = area_factor(system, model)
    return modelled if factor is None else modelled * factor


def area_factor(system: System, model: AreaModel | None = None) -> float | None:
    """Published area over that of the model, of the reference or of the chip itself; None where none is published."""
    from npusim.hardware.machine import described_machine

    name = system.chip.reference
    known = _Silicon(system, described_machine(system)) if name is None else _silicon(name)
    die = known.system.chip.die
    if die is None or die.mm2 is None:
        return None
    return die.mm2.value / float(modelled_area_mm2(known.system, known.machine, model)[0])


def reconciliation(system: System, machines: np.ndarray) -> dict[str, Ranged]:
    """Bottom-up sum over the energy that the machine's record has, by part, float64 (machines,) each: at 1 the tables
    and the description agree. The range is that of the tables."""
    found = {}
    for part, field in _TOLD.items():
        given = machines[field]
        if np.isfinite(given).all():

            def ratio(table: EnergyTable, part: str = part, given: np.ndarray = given) -> np.ndarray:
                return np.asarray(totals(system, machines, table)[part] / given)

            found[part] = ranged(ratio, energy_table())
    return found
