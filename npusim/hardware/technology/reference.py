"""Energies and areas that silicon gave, carried over to a chip that differs from it.

A description that names a `reference` takes what was measured on that architecture as far as the two are alike: its
energies, its static power and its die area are multiplied by the ratio of both bottom-up sums. The reference itself has
a ratio of one, and an energy that the description says itself (or a sweep varies) holds as it stands.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from npusim.hardware.system import System
from npusim.hardware.technology.area import AreaModel, modelled_area_mm2
from npusim.hardware.technology.energy import EnergyTable, bottom_up, energy_table, totals
from npusim.hardware.technology.ranges import Ranged, ranged
from npusim.inputs import remembered
from npusim.ledger import provenances

_KEYS = {
    "mac_bf16": "mac.bf16",
    "mac_fp8": "mac.fp8",
    "mac_int8": "mac.int8",
    "mac_int4": "mac.int4",
    "mac_nvfp4": "mac.nvfp4",
    "vector": "vector_op",
    "memory_read": "memory_byte",
    "idle": "idle",
    "loaded": "loaded_static",
}
"""Keys of `power` whose energies follow the bottom-up sum of a part."""
_TOLD = {**_KEYS, "link": "link_byte"}


def _field(key: str) -> str:
    """The field of a machine's record that holds a key of `power`."""
    return f"power_{key.replace('.', '_')}"


class _Silicon(NamedTuple):
    """The architecture that was measured, its machine as described, and the sources of its energies by key, those of
    its calibration too."""

    system: System
    machine: np.ndarray
    sources: dict[str, frozenset[str]]


@remembered
def _silicon(name: str) -> _Silicon:
    # The catalogue of architectures and the machines made of them are known only once descriptions are.
    from npusim.hardware.catalog import load_system
    from npusim.hardware.machine import described_machine

    system = load_system(name, uncalibrated=True)
    both = [_sources(system), _sources(load_system(name))]
    sources = {key: frozenset(each[key] for each in both if key in each) for key in _KEYS.values()}
    return _Silicon(system, described_machine(system), sources)


def _sources(system: System) -> dict[str, str]:
    """The sources of the energies that a description has, by key."""
    return {item.path: item.quantity.source for item in provenances("", system.chip.power)}


@remembered
def _silicon_totals(name: str) -> dict[str, float]:
    known = _silicon(name)
    return {part: float(sums[0]) for part, sums in totals(known.system, known.machine).items()}


def follow_reference(system: System, machines: np.ndarray) -> None:
    """Carry the energies of the machines of `system` over from its reference, where it names one, and say what of their
    static power is that of clocks."""
    _carry_over(system, machines)
    parts = bottom_up(system, machines)["loaded"]
    machines["power_clocks"] = machines["power_loaded_static"] * parts["clocks"] / sum(parts.values())


def _carry_over(system: System, machines: np.ndarray) -> None:
    name = system.chip.reference
    if name is None:
        return
    measured, own, known = _silicon_totals(name), _sources(system), _silicon(name).sources
    for part, sums in totals(system, machines).items():
        key = _KEYS.get(part)
        if key in own and own[key] in known[key]:
            machines[_field(key)] *= sums / measured[part]


def energies_left_out(system: System, machines: np.ndarray) -> dict[str, Ranged]:
    """Bottom-up energies of what the description gives none for, by the field of a machine's record, float64
    (machines,) each, at the board's input; the range is that of the tables."""
    power, macs, found = system.chip.power, system.chip.unit.macs, {}
    for part, key in _TOLD.items():
        given, _, name = key.rpartition(".")
        is_native = not given or getattr(macs, name) is not None
        if getattr(power, given or name) is None and is_native:

            def total(table: EnergyTable, part: str = part) -> np.ndarray:
                return totals(system, machines, table)[part]

            found[_field(key)] = ranged(total, energy_table())
    return found


def area_mm2(system: System, machines: np.ndarray, model: AreaModel | None = None) -> np.ndarray:
    """Area of all compute dies of each machine, mm2 (machines,): that of the model, times what the published area of
    the reference (or of the chip itself) is over the model's."""
    factors = _area_factors(system, machines, model)
    return np.asarray(modelled_area_mm2(system, machines, model) * np.where(np.isnan(factors), 1.0, factors))


def area_factor(system: System, model: AreaModel | None = None) -> float | None:
    """Published area over that of the model, of the reference or of the chip itself; None where none is published."""
    from npusim.hardware.machine import described_machine

    factor = float(_area_factors(system, described_machine(system), model)[0])
    return None if math.isnan(factor) else factor


def _area_factors(system: System, machines: np.ndarray, model: AreaModel | None) -> np.ndarray:
    """Published area over that of the model for each machine, NaN where none is published. An area that is not the
    reference's is the chip's own, and holds for it as it is described."""
    from npusim.hardware.machine import described_machine

    own = machines["die_mm2"] / modelled_area_mm2(system, described_machine(system), model)
    if system.chip.reference is None:
        return np.asarray(own)
    known = _silicon(system.chip.reference)
    published = known.machine["die_mm2"]
    carried = published / modelled_area_mm2(known.system, known.machine, model)
    is_carried = np.isnan(machines["die_mm2"]) | (machines["die_mm2"] == published)
    return np.where(is_carried, carried, own)


def reconciliation(system: System, machines: np.ndarray) -> dict[str, Ranged]:
    """Bottom-up sum over the energy that the machine's record has, by part, float64 (machines,) each: at 1 the tables
    and the description agree. The range is that of the tables."""
    given = {part: machines[_field(key)] for part, key in _TOLD.items()}
    given = {part: energy for part, energy in given.items() if np.isfinite(energy).all()}

    def ratios(table: EnergyTable) -> np.ndarray:
        sums = totals(system, machines, table)
        return np.array([sums[part] / energy for part, energy in given.items()])

    told = ranged(ratios, energy_table())
    return {part: Ranged(*(side[place] for side in told)) for place, part in enumerate(given)}
