"""Topologies of the on-chip reduction: how the PEs of a chip sum their partial results, each a row of TOPOLOGIES.

A new topology is its row, its code and its case in `reduction_traffic`, which both engines and `npusim collective`
read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from npusim.compilation import kernel


class Topology(NamedTuple):
    """text: what it does; sent: results that the busiest of so many PEs, in so many clusters, sends."""

    text: str
    sent: Callable[[int, int], float]


TOPOLOGIES = {
    "ring": Topology("each PE passes a share to its neighbour, twice round", lambda pes, clusters: 2 * (pes - 1) / pes),
    "all_pairs": Topology(
        "every PE sends to every other, one message at a time", lambda pes, clusters: (pes - 1) / pes
    ),
    "two_level": Topology(
        "all pairs within a cluster, then across clusters",
        lambda pes, clusters: (pes // clusters - 1) * clusters / pes + (clusters - 1) / pes,
    ),
    "tree": Topology(
        "halves send to the other half until one PE has the sum, and back",
        lambda pes, clusters: float((pes - 1).bit_length()),
    ),
    "memory": Topology(
        "through main memory: partial sums written, read by their owners, sums written and read by all",
        lambda pes, clusters: 1 + 1 / pes,
    ),
}
"""By name in a description; the position of a row is its code in records."""
RING, ALL_PAIRS, TWO_LEVEL, TREE, MEMORY = range(len(TOPOLOGIES))
CHOICES = (RING, ALL_PAIRS, TWO_LEVEL, TREE)
"""Topologies among which a compiler may choose. Not those through main memory: what it takes until all PEs see what
another one wrote there was never measured, and messages say nothing of it."""


@kernel
def reduction_traffic(topology, pes, clusters):  # type: ignore[no-untyped-def]
    """(messages one after the other, results that they carry in all, results that pass through main memory).

    Sums over `pes` PEs in `clusters` equal clusters; a result is one PE's whole output. Ring and tree: Thakur,
    Rabenseifner, Gropp 2005; all pairs: N (N - 1) messages of 1/N as measured on RNGD (swsok/heteropilot
    experiments/results/rngd_collective_measured.md); two levels: all pairs of the p PEs of each cluster, then those of
    the same position in each cluster exchange their shares; memory: N results written, N read by the owners of their
    shares, one written, N read. Raises ValueError for an unknown topology.
    """
    if topology == RING:
        return 2.0 * (pes - 1.0), 2.0 * (pes - 1.0) / pes, 0.0
    if topology == ALL_PAIRS:
        return pes * (pes - 1.0), pes - 1.0, 0.0
    if topology == TWO_LEVEL:
        inside = pes / clusters
        messages = inside * (inside - 1.0) + clusters * (clusters - 1.0)
        return messages, inside - 1.0 + (clusters - 1.0) / inside, 0.0
    if topology == TREE:
        steps = 2.0 * math.ceil(math.log2(pes))
        return steps, steps, 0.0
    if topology == MEMORY:
        return 4.0, 0.0, 3.0 * pes + 1.0
    raise ValueError("no reduction topology has this code")
