"""Kinds of layers, and the runs of layers that repeat."""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """window: tokens that its attention may look back, 0 for all; routed: experts stand in place of the MLP."""

    window: int
    routed: bool


Segment = tuple[tuple[Layer, ...], int]


def segments(layers: tuple[Layer, ...]) -> tuple[Segment, ...]:
    """Runs of layers and how often each repeats, in order; they spell `layers`.

    The end repeats a run; what stands before it is split in the same way. Of all ways the one is taken that names the
    fewest layers, and among those the one with the shortest beginning.
    """
    if not layers:
        return ()
    lead, period = min(
        ((lead, period) for lead in range(len(layers)) for period in _periods(layers[lead:])),
        key=lambda split: (sum(split), split[0]),
    )
    run = layers[lead : lead + period]
    return (*segments(layers[:lead]), (run, (len(layers) - lead) // period))


def _periods(layers: tuple[Layer, ...]) -> list[int]:
    """Lengths of the runs that repeat to make `layers`."""
    lengths = (length for length in range(1, len(layers) + 1) if len(layers) % length == 0)
    return [length for length in lengths if layers[:length] * (len(layers) // length) == layers]
