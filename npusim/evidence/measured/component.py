"""What the `arch` of a predictor names: an architecture, or a component without one (`pim:NAME`, `dram:NAME`)."""

from __future__ import annotations

from npusim.evidence.measured.case import Numbers
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibration_of, load_pim, load_system
from npusim.hardware.draws import draw_pim
from npusim.hardware.flat import empty_record
from npusim.hardware.machine import PIM_DTYPE, build_pim

PIM = "pim:"
DRAM = "dram:"


def is_component(name: str) -> bool:
    """True for a component's name."""
    return name.startswith((PIM, DRAM))


def calibration_for(name: str) -> Calibration | None:
    """The calibration of an architecture; a component has none."""
    return None if is_component(name) else calibration_of(name)


def numbers_of(name: str, uncalibrated: bool = False) -> Numbers:
    """The numbers that the description gives, under its calibration unless that is left out."""
    if name.startswith(PIM):
        return Numbers(build_pim(load_pim(name.removeprefix(PIM))), {}, {})
    if name.startswith(DRAM):
        return Numbers(empty_record(PIM_DTYPE), {}, {})
    return Numbers.of(load_system(name, uncalibrated), None if uncalibrated else calibration_of(name))


def drawn_numbers(name: str, calibration: Calibration | None, count: int, seed: int) -> list[Numbers]:
    """`count` sets of those numbers, drawn together from their ranges.

    None of a DRAM standard: a simulator was given the very timings, and their ranges say how far silicon may be.
    """
    if name.startswith(PIM):
        machines = draw_pim(load_pim(name.removeprefix(PIM)), count, seed)
        return [Numbers(machines[index : index + 1], {}, {}) for index in range(count)]
    if name.startswith(DRAM):
        return []
    return Numbers.drawn(load_system(name, uncalibrated=calibration is None), calibration, count, seed)
