"""The numbers that decide what PIM units gain: one at a time to the ends of its range, all else at its value.

Figures at the ends follow from the cost of two steps (`sweep.estimate`), relative to the design itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.explore.one_changed import UNCHANGED, estimates_of, ranged_of, to_ends
from npusim.explore.sweep.estimate import Figures
from npusim.hardware.draws import RangedNumber
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment

GAINS = {"output_tokens_per_s": "speedup", "tokens_per_joule": "efficiency_gain"}
"""Figures that units are to raise, and what their gains are called."""
_LEAST_SWING = 1e-4


@dataclass(frozen=True)
class PimDecider:
    """owner, path: of the number; quantity: its provenance; at_low, at_high: the figure at the ends of its range over
    the figure at its value."""

    owner: str
    path: str
    quantity: Quantity
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """Logarithm of the figure between the ends, without sign."""
        return abs(math.log(self.at_high / self.at_low))

    def as_dict(self) -> dict[str, Any]:
        number = self.quantity
        return {
            "owner": self.owner,
            "path": self.path,
            "value": number.value,
            "low": number.low,
            "high": number.high,
            "unit": number.unit,
            "text": number.text,
            "kind": number.kind,
            "source": number.source,
            "at_low": self.at_low,
            "at_high": self.at_high,
            "swing": self.swing,
        }


def pim_deciders(
    without: Deployment, with_units: Deployment, isl: int, osl: int, users: int
) -> dict[str, list[PimDecider]]:
    """By figure (speedup, efficiency_gain, output_tokens_per_s, tokens_per_joule of the design with units) the numbers
    whose ranges move it, the greatest swing first."""
    numbers = ranged_of(with_units)
    changes = [UNCHANGED, *to_ends(numbers)]
    sides = {"without": without, "with": with_units}
    moved = {side: estimates_of(where, changes, isl, osl, users, tuple(GAINS)) for side, where in sides.items()}
    figures = {gain: _ratio(moved, name) for name, gain in GAINS.items()}
    figures |= {name: moved["with"][name] for name in GAINS}
    return {name: _ranked(numbers, values / values[0]) for name, values in figures.items()}


def _ratio(moved: Mapping[str, Figures], column: str) -> np.ndarray:
    return moved["with"][column] / moved["without"][column]


def _ranked(numbers: list[list[RangedNumber]], ratios: np.ndarray) -> list[PimDecider]:
    found = []
    for position, members in enumerate(numbers):
        low, high = ratios[1 + 2 * position : 3 + 2 * position]
        if math.isfinite(low) and math.isfinite(high) and abs(math.log(high / low)) > _LEAST_SWING:
            number = members[0]
            found.append(PimDecider(number.owner, number.label, number.quantity, float(low), float(high)))
    return sorted(found, key=lambda each: -each.swing)
