"""Compute dies of an architecture: area by part, yield and cost, and the model against a published area."""

from __future__ import annotations

from typing import Any

from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.hardware.technology.area import part_areas
from npusim.hardware.technology.cost import cost_table, die_yield, dies_of, dies_per_wafer
from npusim.hardware.technology.ranges import Ranged
from npusim.hardware.technology.reference import area_factor
from npusim.hardware.technology.silicon import Silicon
from npusim.metrics import RANGED

_DIGITS = 4
"""Digits of what is an estimate."""


def silicon_facts(system: System) -> dict[str, Any]:
    """Area, yield and cost of the compute dies and the package of one chip, {value, low, high} each.

    model_over_published: the area of the model over that of the reference's die, None where no area is published;
    parts_mm2: the model's parts, before they are scaled by it; a price is null where a die is larger than a reticle.
    """
    machine = build_machine(system)
    known, factor, dies = Silicon(system, machine, 1), area_factor(system), dies_of(machine)
    one = known.area_mm2.value / dies
    return {
        **{name: _told(getattr(known, name)) for name in RANGED},
        "model_over_published": None if factor is None else _rounded(1.0 / factor),
        "parts_mm2": {name: _rounded(float(area[0])) for name, area in part_areas(system, machine).items()},
        "dies": int(dies[0]),
        "yield": _rounded(float(die_yield(one, cost_table())[0])),
        "dies_per_wafer": int(dies_per_wafer(one, cost_table())[0]),
    }


def _told(figure: Ranged) -> dict[str, float]:
    return {side: _rounded(float(getattr(figure, side)[0])) for side in figure._fields}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
