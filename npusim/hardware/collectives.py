"""Collective operations, and what an algorithm sends for one: phases of flows between ranks.

The message is the full vector: what is reduced, what is gathered, what each rank sends in an all-to-all. Flows are
sized as fractions of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

(ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL, BROADCAST, SEND_RECV) = range(6)
OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv")
SWITCH = -1
"""Stands for the switch that sums and multicasts, in place of a rank."""


def least_part(operation: int, ranks: int) -> float:
    """Least fraction of the message that the busiest rank must send, whatever the algorithm between ranks.

    It is also the factor of bus bandwidths (github.com/NVIDIA/nccl-tests doc/PERFORMANCE.md). A switch that sums can do
    with less. Raises ValueError for an unknown operation.
    """
    if not 0 <= operation < len(OPERATIONS):
        raise ValueError(f"no collective has the code {operation}; known: 0 to {len(OPERATIONS) - 1}")
    if operation in (BROADCAST, SEND_RECV):
        return 1.0
    others = (ranks - 1) / ranks
    return 2 * others if operation == ALL_REDUCE else others


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
class Exchange:
    """What an algorithm sends over some ranks.

    steps: messages that wait for each other; messages: those that a rank sends beside them; local: part of the message
    that a rank copies or sums within itself; depth: stages that a message cut in chunks passes, 0 where it is not
    (then `phases` is what one stage sends of the whole message, and steps and messages are those of one stage).
    """

    phases: tuple[Phase, ...]
    steps: int
    messages: int = 0
    local: float = 0.0
    depth: int = 0

    def sent_by_busiest(self) -> float:
        """Part of the message that the rank which sends most sends."""
        sent: dict[int, float] = {}
        for phase in self.phases:
            for flow in phase.flows:
                sent[flow.source] = sent.get(flow.source, 0.0) + phase.times * flow.part
        return max((part for rank, part in sent.items() if rank != SWITCH), default=0.0)
