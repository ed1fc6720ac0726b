"""What a collective sends in which order: phases of flows between ranks, sized as parts of the message.

The message is the full vector: what is reduced, what is gathered, what each rank sends in an all-to-all. Thakur,
Rabenseifner, Gropp 2005, "Optimization of Collective Communication Operations in MPICH"; Sanders, Speck, Traeff 2009,
"Two-tree algorithms for full bandwidth broadcast, reduction and scan".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from npusim.hardware.collectives import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL, BROADCAST, REDUCE_SCATTER, SEND_RECV

SWITCH = -1
"""In place of a rank: the switch that sums and multicasts."""


class Flow(NamedTuple):
    """`part` of the message from one rank to another."""

    source: int
    target: int
    part: float


@dataclass(frozen=True)
class Phase:
    """Flows at the same time, `times` after each other."""

    flows: tuple[Flow, ...]
    times: int = 1


@dataclass(frozen=True)
class Schedule:
    """An algorithm over some ranks.

    steps: messages that wait for each other; messages: those that a rank sends beside them; local: part of the message
    that a rank copies or sums within itself; depth: stages that a message cut in chunks passes, 0 where it is not
    (then `phases` is what one stage sends of the whole message, and steps and messages are those of one stage).
    """

    phases: tuple[Phase, ...]
    steps: int
    messages: int = 0
    local: float = 0.0
    depth: int = 0


Maker = Callable[[int, int], Schedule | None]
"""From the number of ranks, and how many of them lie together in one group of an inner level, to a schedule."""


def schedule(operation: int, algorithm: str, ranks: int, together: int) -> Schedule | None:
    """The schedule, None where the algorithm cannot work over so many ranks so placed."""
    return _MAKERS[operation, algorithm](ranks, together)


def _pairs(group: Iterable[int], part: float) -> tuple[Flow, ...]:
    return tuple(Flow(source, target, part) for source, target in permutations(group, 2))


def _chain(ranks: int, part: float, closed: bool) -> tuple[Flow, ...]:
    return tuple(Flow(rank, (rank + 1) % ranks, part) for rank in range(ranks if closed else ranks - 1))


def _beside(ranks: int) -> int:
    """Messages that a rank sends to all others beside the first."""
    return max(ranks - 2, 0)


def _ring(rounds: int) -> Maker:
    def make(ranks: int, _together: int) -> Schedule:
        times = rounds * (ranks - 1)
        return Schedule((Phase(_chain(ranks, 1 / ranks, closed=True), times),), steps=times, local=1 / ranks)

    return make


def _direct(ranks: int, _together: int) -> Schedule:
    return Schedule((Phase(_pairs(range(ranks), 1 / ranks)),), 1, _beside(ranks), local=1 / ranks)


def _one_shot(ranks: int, _together: int) -> Schedule:
    return Schedule((Phase(_pairs(range(ranks), 1.0)),), 1, _beside(ranks), local=1.0)


def _two_shot(ranks: int, _together: int) -> Schedule:
    return Schedule((Phase(_pairs(range(ranks), 1 / ranks), 2),), 2, 2 * _beside(ranks), local=1 / ranks)


def _halvings(ranks: int) -> tuple[Phase, ...]:
    """Each rank sends half of what it still has to the rank at a distance of 1, 2, 4, ...: the most to the nearest."""
    return tuple(
        Phase(tuple(Flow(rank, rank ^ (1 << step), 1 / (1 << (step + 1))) for rank in range(ranks)))
        for step in range(ranks.bit_length() - 1)
    )


def _halving(ranks: int, _together: int) -> Schedule | None:
    phases = _halvings(ranks)
    return None if ranks & (ranks - 1) else Schedule(phases, len(phases), local=1 / ranks)


def _halving_doubling(ranks: int, _together: int) -> Schedule:
    core = 1 << (ranks.bit_length() - 1)
    halvings = _halvings(core)
    folded = range(core, ranks)
    before = (Phase(tuple(Flow(rank, rank - core, 1.0) for rank in folded)),) if folded else ()
    after = (Phase(tuple(Flow(rank - core, rank, 1.0) for rank in folded)),) if folded else ()
    phases = (*before, *halvings, *reversed(halvings), *after)
    return Schedule(phases, len(phases), local=1 / ranks)


def _parent(rank: int, ranks: int) -> int:
    """The parent in a binary tree whose leaves are the odd ranks (src/graph/trees.cc of NVIDIA/nccl@b647562)."""
    lowest = rank & -rank
    parent = (rank ^ lowest) | (lowest << 1)
    return parent if parent < ranks else rank ^ lowest


def _double_tree(ranks: int, _together: int) -> Schedule:
    """Half of the message on each of two trees, of which one's leaves are the other's inner ranks."""
    flows = []
    for turned in (lambda rank: rank, lambda rank: ranks - 1 - rank if ranks % 2 == 0 else (rank + 1) % ranks):
        for rank in range(1, ranks):
            child, parent = turned(rank), turned(_parent(rank, ranks))
            flows += [Flow(child, parent, 0.5), Flow(parent, child, 0.5)]
    stages = 2 * max(_height(rank, ranks) for rank in range(ranks))
    return Schedule((Phase(tuple(flows)),), 1, depth=stages)


def _height(rank: int, ranks: int) -> int:
    height = 0
    while rank:
        rank, height = _parent(rank, ranks), height + 1
    return height


def _in_network_sum(ranks: int, _together: int) -> Schedule:
    """The switch fetches every rank's part of each shard, its owner gets the sum and multicasts it."""
    half = (1 + 1 / ranks) / 2
    up = tuple(Flow(rank, SWITCH, half) for rank in range(ranks))
    down = tuple(Flow(SWITCH, rank, half) for rank in range(ranks))
    return Schedule((Phase(up + down, 2),), 2)


def _multicast(ranks: int, _together: int) -> Schedule:
    return Schedule((Phase((Flow(0, SWITCH, 1.0), *(Flow(SWITCH, rank, 1.0) for rank in range(1, ranks)))),), 1)


def _broadcast_tree(ranks: int, _together: int) -> Schedule:
    steps = (ranks - 1).bit_length()
    phases = tuple(
        Phase(tuple(Flow(rank, rank + (1 << step), 1.0) for rank in range(1 << step) if rank + (1 << step) < ranks))
        for step in range(steps)
    )
    return Schedule(phases, steps)


def _broadcast_chain(ranks: int, _together: int) -> Schedule:
    return Schedule((Phase(_chain(ranks, 1.0, closed=False)),), 1, depth=ranks - 1)


def _scatter_and_gather(ranks: int, _together: int) -> Schedule:
    scatter = Phase(tuple(Flow(0, rank, 1 / ranks) for rank in range(1, ranks)))
    return Schedule((scatter, Phase(_pairs(range(ranks), 1 / ranks))), 2, 2 * _beside(ranks))


def _send(ranks: int, _together: int) -> Schedule:
    return Schedule((Phase(_chain(ranks, 1.0, closed=False)),), 1)


def _inner(ranks: int, together: int, part: float) -> Phase:
    groups = (range(first, first + together) for first in range(0, ranks, together))
    return Phase(tuple(flow for group in groups for flow in _pairs(group, part)))


def _outer(ranks: int, together: int, part: float) -> Phase:
    """Between the ranks of the same place in each group."""
    columns = (range(place, ranks, together) for place in range(together))
    return Phase(tuple(flow for column in columns for flow in _pairs(column, part)))


def _hierarchical(parts: Callable[[int, int], tuple[Phase, ...]]) -> Maker:
    def make(ranks: int, together: int) -> Schedule | None:
        if together < 2 or together == ranks or ranks % together:
            return None
        phases = parts(ranks, together)
        beside = _beside(together) + _beside(ranks // together)
        return Schedule(phases, len(phases), len(phases) // 2 * beside, local=1 / ranks)

    return make


def _within_and_across(ranks: int, together: int) -> tuple[Phase, ...]:
    """Shards within the groups, then each shard across them."""
    return _inner(ranks, together, 1 / together), _outer(ranks, together, 1 / ranks)


def _columns_first(ranks: int, together: int) -> tuple[Phase, ...]:
    """All-to-all: what is for a place in any group goes to that place in the own one, then on to its group."""
    return _inner(ranks, together, 1 / together), _outer(ranks, together, together / ranks)


_MAKERS: dict[tuple[int, str], Maker] = {
    (ALL_REDUCE, "ring"): _ring(2),
    (ALL_REDUCE, "one_shot"): _one_shot,
    (ALL_REDUCE, "two_shot"): _two_shot,
    (ALL_REDUCE, "halving_doubling"): _halving_doubling,
    (ALL_REDUCE, "double_tree"): _double_tree,
    (ALL_REDUCE, "hierarchical"): _hierarchical(
        lambda ranks, together: (
            *_within_and_across(ranks, together),
            *reversed(_within_and_across(ranks, together)),
        )
    ),
    (ALL_REDUCE, "in_network"): _in_network_sum,
    (ALL_GATHER, "ring"): _ring(1),
    (ALL_GATHER, "one_shot"): _direct,
    (ALL_GATHER, "halving_doubling"): _halving,
    (ALL_GATHER, "hierarchical"): _hierarchical(_within_and_across),
    (REDUCE_SCATTER, "ring"): _ring(1),
    (REDUCE_SCATTER, "one_shot"): _direct,
    (REDUCE_SCATTER, "halving_doubling"): _halving,
    (REDUCE_SCATTER, "hierarchical"): _hierarchical(_within_and_across),
    (ALL_TO_ALL, "direct"): _direct,
    (ALL_TO_ALL, "hierarchical"): _hierarchical(_columns_first),
    (BROADCAST, "ring"): _broadcast_chain,
    (BROADCAST, "tree"): _broadcast_tree,
    (BROADCAST, "two_shot"): _scatter_and_gather,
    (BROADCAST, "in_network"): _multicast,
    (SEND_RECV, "direct"): _send,
}
