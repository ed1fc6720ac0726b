"""The algorithms of collectives, each a row of ALGORITHMS: what it sends, for which operations, on which fabric.

A new algorithm is a function here that makes its exchange, and its row. Fabrics, machine records, compiled times and
`npusim collective` read the table. Thakur, Rabenseifner, Gropp 2005, "Optimization of Collective Communication
Operations in MPICH"; Sanders, Speck, Traeff 2009, "Two-tree algorithms for full bandwidth broadcast, reduction and
scan".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

from npusim.hardware.collectives import (
    ALL_GATHER,
    ALL_REDUCE,
    ALL_TO_ALL,
    BROADCAST,
    OPERATIONS,
    REDUCE_SCATTER,
    SEND_RECV,
    SWITCH,
    Exchange,
    Flow,
    Phase,
)

_Maker = Callable[[int, int], Exchange | None]
"""Makes an exchange from the number of ranks and the number of them in one group of an inner level."""


@dataclass(frozen=True)
class Algorithm:
    """makers: of its exchange, by operation; on_switch: whether it needs a switch that sums and multicasts."""

    name: str
    makers: Mapping[int, _Maker]
    on_switch: bool = False

    def exchange(self, operation: int, ranks: int, together: int) -> Exchange | None:
        """What it sends over `ranks` ranks, `together` of them in each group; None where it does not work for these.

        Raises ValueError for an operation that it does not carry out.
        """
        if operation not in self.makers:
            raise ValueError(f"{self.name} serves no operation {operation} of {OPERATIONS}")
        return self.makers[operation](ranks, together)


def _pairs(group: Iterable[int], part: float) -> tuple[Flow, ...]:
    return tuple(Flow(source, target, part) for source, target in permutations(group, 2))


def _chain(ranks: int, part: float, closed: bool) -> tuple[Flow, ...]:
    return tuple(Flow(rank, (rank + 1) % ranks, part) for rank in range(ranks if closed else ranks - 1))


def _beside(ranks: int) -> int:
    """Messages that a rank sends to all others beside the first."""
    return max(ranks - 2, 0)


def _ring(rounds: int) -> _Maker:
    def make(ranks: int, _together: int) -> Exchange:
        times = rounds * (ranks - 1)
        return Exchange((Phase(_chain(ranks, 1 / ranks, closed=True), times),), steps=times, local=1 / ranks)

    return make


def _direct(ranks: int, _together: int) -> Exchange:
    return Exchange((Phase(_pairs(range(ranks), 1 / ranks)),), 1, _beside(ranks), local=1 / ranks)


def _one_shot(ranks: int, _together: int) -> Exchange:
    return Exchange((Phase(_pairs(range(ranks), 1.0)),), 1, _beside(ranks), local=1.0)


def _two_shot(ranks: int, _together: int) -> Exchange:
    return Exchange((Phase(_pairs(range(ranks), 1 / ranks), 2),), 2, 2 * _beside(ranks), local=1 / ranks)


def _halvings(ranks: int) -> tuple[Phase, ...]:
    """Each rank sends half of what it still has to the rank at a distance of 1, 2, 4, ...: the most to the nearest."""
    return tuple(
        Phase(tuple(Flow(rank, rank ^ (1 << step), 1 / (1 << (step + 1))) for rank in range(ranks)))
        for step in range(ranks.bit_length() - 1)
    )


def _halving(ranks: int, _together: int) -> Exchange | None:
    phases = _halvings(ranks)
    return None if ranks & (ranks - 1) else Exchange(phases, len(phases), local=1 / ranks)


def _halving_doubling(ranks: int, _together: int) -> Exchange:
    core = 1 << (ranks.bit_length() - 1)
    halvings = _halvings(core)
    folded = range(core, ranks)
    before = (Phase(tuple(Flow(rank, rank - core, 1.0) for rank in folded)),) if folded else ()
    after = (Phase(tuple(Flow(rank - core, rank, 1.0) for rank in folded)),) if folded else ()
    phases = (*before, *halvings, *reversed(halvings), *after)
    return Exchange(phases, len(phases), local=1 / ranks)


def _parent(rank: int, ranks: int) -> int:
    """The parent in a binary tree whose leaves are the odd ranks (src/graph/trees.cc of NVIDIA/nccl@b647562)."""
    lowest = rank & -rank
    parent = (rank ^ lowest) | (lowest << 1)
    return parent if parent < ranks else rank ^ lowest


def _double_tree(ranks: int, _together: int) -> Exchange:
    """Half of the message on each of two trees, of which one's leaves are the other's inner ranks."""
    flows = []
    for turned in (lambda rank: rank, lambda rank: ranks - 1 - rank if ranks % 2 == 0 else (rank + 1) % ranks):
        for rank in range(1, ranks):
            child, parent = turned(rank), turned(_parent(rank, ranks))
            flows += [Flow(child, parent, 0.5), Flow(parent, child, 0.5)]
    stages = 2 * max(_height(rank, ranks) for rank in range(ranks))
    return Exchange((Phase(tuple(flows)),), 1, depth=stages)


def _height(rank: int, ranks: int) -> int:
    height = 0
    while rank:
        rank, height = _parent(rank, ranks), height + 1
    return height


def _in_network_sum(ranks: int, _together: int) -> Exchange:
    """The switch fetches every rank's part of each shard, its owner gets the sum and multicasts it."""
    half = (1 + 1 / ranks) / 2
    up = tuple(Flow(rank, SWITCH, half) for rank in range(ranks))
    down = tuple(Flow(SWITCH, rank, half) for rank in range(ranks))
    return Exchange((Phase(up + down, 2),), 2)


def _multicast(ranks: int, _together: int) -> Exchange:
    return Exchange((Phase((Flow(0, SWITCH, 1.0), *(Flow(SWITCH, rank, 1.0) for rank in range(1, ranks)))),), 1)


def _broadcast_tree(ranks: int, _together: int) -> Exchange:
    steps = (ranks - 1).bit_length()
    phases = tuple(
        Phase(tuple(Flow(rank, rank + (1 << step), 1.0) for rank in range(1 << step) if rank + (1 << step) < ranks))
        for step in range(steps)
    )
    return Exchange(phases, steps)


def _relay(ranks: int, _together: int) -> Exchange:
    return Exchange((Phase(_chain(ranks, 1.0, closed=False)),), 1, depth=ranks - 1)


def _scatter_and_gather(ranks: int, _together: int) -> Exchange:
    scatter = Phase(tuple(Flow(0, rank, 1 / ranks) for rank in range(1, ranks)))
    return Exchange((scatter, Phase(_pairs(range(ranks), 1 / ranks))), 2, 2 * _beside(ranks))


def _send(ranks: int, _together: int) -> Exchange:
    return Exchange((Phase(_chain(ranks, 1.0, closed=False)),), 1)


def _inner(ranks: int, together: int, part: float) -> Phase:
    groups = (range(first, first + together) for first in range(0, ranks, together))
    return Phase(tuple(flow for group in groups for flow in _pairs(group, part)))


def _outer(ranks: int, together: int, part: float) -> Phase:
    """Between the ranks of the same position in each group."""
    columns = (range(first, ranks, together) for first in range(together))
    return Phase(tuple(flow for column in columns for flow in _pairs(column, part)))


def _hierarchical(parts: Callable[[int, int], tuple[Phase, ...]]) -> _Maker:
    def make(ranks: int, together: int) -> Exchange | None:
        if together < 2 or together == ranks or ranks % together:
            return None
        phases = parts(ranks, together)
        beside = _beside(together) + _beside(ranks // together)
        return Exchange(phases, len(phases), len(phases) // 2 * beside, local=1 / ranks)

    return make


def _within_and_across(ranks: int, together: int) -> tuple[Phase, ...]:
    """Shards within the groups, then each shard across them."""
    return _inner(ranks, together, 1 / together), _outer(ranks, together, 1 / ranks)


def _within_across_and_back(ranks: int, together: int) -> tuple[Phase, ...]:
    there = _within_and_across(ranks, together)
    return (*there, *reversed(there))


def _columns_first(ranks: int, together: int) -> tuple[Phase, ...]:
    """All-to-all: what is for a position in any group goes to that position in its own group first, then to the target
    group."""
    return _inner(ranks, together, 1 / together), _outer(ranks, together, together / ranks)


ALGORITHMS = {
    row.name: row
    for row in (
        Algorithm("ring", {ALL_REDUCE: _ring(2), ALL_GATHER: _ring(1), REDUCE_SCATTER: _ring(1), BROADCAST: _relay}),
        Algorithm("direct", {ALL_TO_ALL: _direct, SEND_RECV: _send}),
        Algorithm(
            "one_shot",
            {ALL_REDUCE: _one_shot, ALL_GATHER: _direct, REDUCE_SCATTER: _direct},
        ),
        Algorithm("two_shot", {ALL_REDUCE: _two_shot, BROADCAST: _scatter_and_gather}),
        Algorithm("halving_doubling", {ALL_REDUCE: _halving_doubling, ALL_GATHER: _halving, REDUCE_SCATTER: _halving}),
        Algorithm("double_tree", {ALL_REDUCE: _double_tree}),
        Algorithm("tree", {BROADCAST: _broadcast_tree}),
        Algorithm(
            "hierarchical",
            {
                ALL_REDUCE: _hierarchical(_within_across_and_back),
                ALL_GATHER: _hierarchical(_within_and_across),
                REDUCE_SCATTER: _hierarchical(_within_and_across),
                ALL_TO_ALL: _hierarchical(_columns_first),
            },
        ),
        Algorithm("in_network", {ALL_REDUCE: _in_network_sum, BROADCAST: _multicast}, on_switch=True),
    )
}
"""By name; the position of a row is its column in `transport_serves`."""

SCHEDULES = tuple((operation, name) for name, row in ALGORITHMS.items() for operation in row.makers)
"""An operation and an algorithm that carries it out; the position in this list is that in the records' tables."""
