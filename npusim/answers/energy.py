"""Where the joules of a step or a run go, component by component, and how far the published tables are from them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.hardware.technology.energy import breakdown
from npusim.hardware.technology.reference import reconciliation
from npusim.mapping.deployment import Deployment

_DIGITS = 4
"""Digits of a ratio of estimates."""


def energy_breakdown_j(deployment: Deployment, parts_j: Mapping[str, float], energy_j: float) -> dict[str, float]:
    """Joules by component; they sum to `energy_j`, that of the ENERGY_PARTS `parts_j`."""
    split = breakdown(1, deployment.energy_units, parts_j)
    found = {name: float(joules[0]) for name, joules in split.items()}
    # What rounding leaves belongs to the largest.
    largest = max(found, key=lambda name: found[name])
    found[largest] += energy_j - math.fsum(found.values())
    return found


def energy_reconciliation(deployment: Deployment) -> dict[str, dict[str, float]]:
    """Bottom-up sum over the description's energy, by part: {value, low, high}, the range that of the tables."""
    return _told(deployment.system, deployment.machine)


def bottom_up_over_given(system: System) -> dict[str, dict[str, float]]:
    """As `energy_reconciliation`, of an architecture."""
    return _told(system, build_machine(system))


def _told(system: System, machines: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        part: {side: float(f"{getattr(ratio, side)[0]:.{_DIGITS}g}") for side in ratio._fields}
        for part, ratio in reconciliation(system, machines).items()
    }
