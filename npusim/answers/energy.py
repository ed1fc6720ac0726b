"""Where the joules of a step or a run go, component by component, and how far the published tables are from them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.hardware.technology.energy import breakdown
from npusim.hardware.technology.reference import reconciliation
from npusim.inputs import remembered_last
from npusim.mapping.deployment import Deployment

_KEPT = 64
"""Chips of one process whose ratios are kept."""
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
    return _told(_Silicon(deployment.system, deployment.machine))


def bottom_up_over_given(system: System) -> dict[str, dict[str, float]]:
    """As `energy_reconciliation`, of an architecture."""
    return _told(_Silicon(system, build_machine(system)))


class _Silicon:
    """A chip and its machine as they are: equal to another where both are the same."""

    def __init__(self, system: System, machines: np.ndarray) -> None:
        self.system, self.machines = system, machines
        self._numbers = machines.tobytes()

    def __hash__(self) -> int:
        return hash((id(self.system), self._numbers))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Silicon) and self.system is other.system and self._numbers == other._numbers


def _told(silicon: _Silicon) -> dict[str, dict[str, float]]:
    return {part: dict(sides) for part, sides in _ratios(silicon).items()}


@remembered_last(_KEPT)
def _ratios(silicon: _Silicon) -> dict[str, dict[str, float]]:
    """The ratios of a chip, which are the same for all that it serves."""
    return {
        part: {side: float(f"{getattr(ratio, side)[0]:.{_DIGITS}g}") for side in ratio._fields}
        for part, ratio in reconciliation(silicon.system, silicon.machines).items()
    }
