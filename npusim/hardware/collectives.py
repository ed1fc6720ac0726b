"""Collective operations and the algorithms that can carry them out, with their places in flat records."""

from __future__ import annotations

from npusim.hardware.fabric import ALGORITHMS, Algorithm

(ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL, BROADCAST, SEND_RECV) = range(6)
OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv")

SCHEDULES: tuple[tuple[int, Algorithm], ...] = (
    (ALL_REDUCE, "ring"),
    (ALL_REDUCE, "one_shot"),
    (ALL_REDUCE, "two_shot"),
    (ALL_REDUCE, "halving_doubling"),
    (ALL_REDUCE, "double_tree"),
    (ALL_REDUCE, "hierarchical"),
    (ALL_REDUCE, "in_network"),
    (ALL_GATHER, "ring"),
    (ALL_GATHER, "one_shot"),
    (ALL_GATHER, "halving_doubling"),
    (ALL_GATHER, "hierarchical"),
    (REDUCE_SCATTER, "ring"),
    (REDUCE_SCATTER, "one_shot"),
    (REDUCE_SCATTER, "halving_doubling"),
    (REDUCE_SCATTER, "hierarchical"),
    (ALL_TO_ALL, "direct"),
    (ALL_TO_ALL, "hierarchical"),
    (BROADCAST, "ring"),
    (BROADCAST, "tree"),
    (BROADCAST, "two_shot"),
    (BROADCAST, "in_network"),
    (SEND_RECV, "direct"),
)
"""An operation and an algorithm that carries it out; the place in this list is that in the records' tables."""


def algorithm_place(schedule: int) -> int:
    """Place in ALGORITHMS of the algorithm of a schedule."""
    return ALGORITHMS.index(SCHEDULES[schedule][1])
