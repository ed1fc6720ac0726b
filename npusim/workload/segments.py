"""Kinds of layers, and the runs of layers that repeat."""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """window: tokens that its attention may look back, 0 for all; routed: experts replace the MLP."""

    window: int
    routed: bool


LayerRun = tuple[tuple[Layer, ...], int]


def segments(layers: tuple[Layer, ...]) -> tuple[LayerRun, ...]:
    """Runs of layers and how often each repeats, in order; they spell `layers`.

    The end repeats a run; what comes before it is split in the same way. Of all ways the one is chosen that names the
    fewest layers, and among those the one with the shortest beginning.
    """
    found = []
    while layers:
        lead, period = _split(layers)
        found.append((layers[lead : lead + period], (len(layers) - lead) // period))
        layers = layers[:lead]
    return tuple(reversed(found))


def _split(layers: tuple[Layer, ...]) -> tuple[int, int]:
    """Layers before the run that the end repeats, and the length of that run.

    Every end is the beginning of the layers in reverse; its shortest period follows from its longest border (Knuth,
    Morris, Pratt 1977), which takes time in proportion to the layers.
    """
    back, borders = layers[::-1], [0, 0]
    for end in range(1, len(back)):
        border = borders[end]
        while border and back[border] != back[end]:
            border = borders[border]
        borders.append(border + 1 if back[border] == back[end] else 0)
    splits = []
    for length in range(1, len(layers) + 1):
        period = length - borders[length]
        splits.append((len(layers) - length, length if length % period else period))
    return min(splits, key=lambda split: (sum(split), split[0]))
