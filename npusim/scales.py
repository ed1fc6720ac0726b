"""Where axes have their ticks, for whoever draws: at the values of a grid, or at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

MOST_MS = 1e4
"""Milliseconds beyond which people read seconds."""
_APART = 24
"""Labels that have room beside each other on an axis."""
_MULTIPLES = ((1.3, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (3.0, (1.0, 2.0, 5.0)), (4.5, (1.0, 3.0)))
"""Labelled multiples of each power of ten on axes shorter than so many decades: fewer on longer ones."""


def multiples(decades: float) -> tuple[float, ...]:
    """Labelled multiples of each power of ten on an axis of so many decades."""
    return next((told for most, told in _MULTIPLES if decades < most), (1.0,))


def round_ticks(values: Iterable[float]) -> list[float]:
    """Round numbers for a logarithmic axis that holds these values, all above zero; one beyond each end."""
    known = list(values)
    low, high = math.log10(min(known)), math.log10(max(known))
    told = [
        multiple * 10.0**power
        for power in range(math.floor(low) - 1, math.ceil(high) + 2)
        for multiple in multiples(high - low)
    ]
    return [
        each
        for position, each in enumerate(told)
        if told[min(position + 1, len(told) - 1)] >= min(known) and told[max(position - 1, 0)] <= max(known)
    ]


def grid_ticks(values: Iterable[float]) -> list[float]:
    """The values of a grid that are far enough apart on a logarithmic axis for their labels not to touch."""
    known = sorted(set(values))
    kept: list[float] = []
    gap = max((known[-1] / known[0]) ** (1 / _APART), 1.0)
    for value in known:
        if not kept or value >= kept[-1] * gap:
            kept.append(value)
    return kept
