"""The links between the chips of a plan, and collectives as the messages that their schedules send.

A collective takes the schedule and the transport that the closed forms find fastest. Its messages go over the fabric's
links, in the order in which each rank can send them: no sooner than what it has to pass on has arrived. Where they meet
the messages of other groups, or the memory that they are read from is busy, they take longer than the closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from npusim.engine.event.command import ALL_CLUSTERS, CHIP_LINK, LINK, MESSAGE, Command, Position, Program, Queue
from npusim.engine.event.memory import LEAVING
from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.collectives import OPERATIONS, SWITCH, Exchange, Flow
from npusim.hardware.fabric import Fabric
from npusim.kernels.collective import fastest, link_rate, stage_cost
from npusim.mapping.optable import OP_NAMES
from npusim.mapping.placement import Groups, groups_of, together
from npusim.mapping.plan import Plan
from npusim.mapping.topology import INSIDE, build_graph, chip, reducing_switch, route

_MOST_CHUNKS = 128
"""Chunks in which a message passes through the stages of a pipeline, at most."""

Ready = list[tuple[int, ...]]
"""For each chip the commands after which it may go on."""


class Way(NamedTuple):
    """Links that a message crosses, by number, and the seconds until its first byte arrives."""

    links: tuple[int, ...]
    latency_s: float


class Carried(NamedTuple):
    """How a collective of `amount` bytes is carried out: what it sends, in how many chunks, by which transport."""

    operation: int
    amount: float
    exchange: Exchange
    chunks: int
    transport: int


@dataclass(frozen=True)
class Network:
    """fabric, groups: the chips of each kind of group; machine: the record with the numbers of links and transports."""

    fabric: Fabric
    groups: dict[int, Groups]
    machine: Any

    @classmethod
    def of_plan(cls, fabric: Fabric, plan: Plan, machine: Any) -> Network:
        return cls(fabric, groups_of(plan), machine)

    @cached_property
    def _graph(self) -> Any:
        return build_graph(self.fabric)

    @cached_property
    def _links(self) -> dict[Any, int]:
        """The number of each edge that costs something."""
        edges = [edge for edge in self._graph.edges if self._graph.edges[edge]["level"] != INSIDE]
        return {edge: number for number, edge in enumerate(edges)}

    @cached_property
    def rates(self) -> np.ndarray:
        """Payload of each link, bytes/s."""
        of_level = [float(link_rate(level, self.machine)) for level in range(len(self.fabric.levels))]
        return np.array([of_level[self._graph.edges[edge]["level"]] for edge in self._links])

    @cached_property
    def names(self) -> list[str]:
        """Each link as its two ends."""
        return [f"{_name(source)} to {_name(target)}" for source, target in self._links]

    @cached_property
    def _ways(self) -> dict[tuple[Any, Any], Way]:
        return {}

    def way(self, group: tuple[int, ...], flow: Flow) -> Way:
        """The way of a flow between ranks of a group."""
        source, target = (self._end(group, rank) for rank in (flow.source, flow.target))
        if (source, target) not in self._ways:
            edges = [edge for edge in route(self._graph, source, target) if edge in self._links]
            levels = [self._graph.edges[edge]["level"] for edge in edges]
            latency = sum(float(self.machine["fabric_levels_link_latency"][level]) for level in levels)
            self._ways[source, target] = Way(tuple(self._links[edge] for edge in edges), latency)
        return self._ways[source, target]

    def _end(self, group: tuple[int, ...], rank: int) -> Any:
        if rank != SWITCH:
            return chip(group[rank])
        found = reducing_switch(self._graph, self.fabric, list(group))
        assert found is not None
        return found

    def carried(self, operation: int, amount: float, kind: int) -> Carried:
        """How the fastest schedule carries out a collective over the groups of a kind."""
        schedule, transport = fastest(operation, amount, kind, self.machine)
        group = self.groups[kind][0]
        exchange = ALGORITHMS[SCHEDULES[schedule][1]].exchange(operation, len(group), together(self.fabric, group))
        assert exchange is not None
        chunks = 1
        if exchange.depth > 1:
            fixed, per_byte = stage_cost(schedule, transport, kind, self.machine)
            best = math.sqrt((exchange.depth - 1.0) * amount * per_byte / fixed) if fixed > 0.0 else _MOST_CHUNKS
            chunks = max(1, min(_MOST_CHUNKS, round(best)))
        return Carried(operation, amount, exchange, chunks, int(transport))

    def send_part(self, program: Program, row: Any, part: float, position: Position, ready: Ready) -> Ready:
        """Add the messages of a part of a COLLECTIVE row."""
        kind, amount = int(row["group"]), float(row["collective_bytes"])
        carried = self.carried(OPERATIONS.index(OP_NAMES[row["op"]]), part * amount, kind)
        return self.send(program, carried, kind, position, ready)

    def send(self, program: Program, carried: Carried, kind: int, position: Position, ready: Ready) -> Ready:
        """Add the messages of a collective in all groups of a kind; for each chip what it goes on after.

        ready: of each chip that is simulated; the other chips of a group take no time.
        """
        after = list(ready)
        for group in self.groups[kind]:
            own = [number for number in group if number < len(ready)]
            if own:
                ends = self._exchange(program, carried, group, position, ready)
                for number in own:
                    after[number] = ends[group.index(number)]
        return after

    def _exchange(
        self, program: Program, carried: Carried, group: tuple[int, ...], position: Position, ready: Ready
    ) -> Ready:
        """The messages of one group, and what each of its ranks goes on after."""
        last: dict[int, tuple[int, ...]] = {
            rank: ready[number] if number < len(ready) else () for rank, number in enumerate(group)
        }
        for flows in _rounds(carried):
            last |= self._round(program, carried, group, flows, position, last)
            if carried.exchange.depth > 1:
                # Chunks follow each other at the pace of the slowest stage.
                everyone = tuple(sorted({one for each in last.values() for one in each}))
                last = dict.fromkeys(last, everyone)
        return [last[rank] for rank in range(len(group))]

    def _round(
        self,
        program: Program,
        carried: Carried,
        group: tuple[int, ...],
        flows: Sequence[Flow],
        position: Position,
        last: dict[int, tuple[int, ...]],
    ) -> dict[int, tuple[int, ...]]:
        """Messages that wait for none of each other: what the ranks that sent or got one go on after."""
        machine, transport = self.machine, carried.transport
        sent: dict[int, int] = {}
        done: dict[int, list[int]] = {}
        for flow in flows:
            way, beside = self.way(group, flow), sent.get(flow.source, 0)
            if carried.exchange.messages > 0:
                sent[flow.source] = beside + 1
            source, target = (SWITCH if rank == SWITCH else group[rank] for rank in (flow.source, flow.target))
            fixed = float(machine["fabric_transports_step"][transport]) + way.latency_s
            command = Command(
                Queue(MESSAGE, target, source),
                LINK,
                position._replace(tile=len(program.commands)),
                last.get(flow.source, ()),
                fixed_s=fixed + beside * float(machine["fabric_transports_message"][transport]),
                asked=flow.part * carried.amount / carried.chunks,
                streams=1.0,
                access=LEAVING,
                links=way.links,
                link_bytes=1.0 / float(machine["fabric_transports_efficiency"][transport]),
                passes=_given(machine["fabric_transports_memory_passes"][transport]),
                what=f"{OPERATIONS[carried.operation]}: message",
            )
            number = program.add(command)
            for rank in (flow.source, flow.target):
                done.setdefault(rank, []).append(number)
        return {rank: tuple(numbers) for rank, numbers in done.items()}

    def local_s(self, carried: Carried) -> float:
        """Seconds in which a rank copies or sums its own share."""
        rate = float(self.machine["fabric_transports_copy_bandwidth"][carried.transport])
        return carried.exchange.local * carried.amount / rate if rate > 0.0 else 0.0

    def launch_s(self, carried: Carried) -> float:
        """Seconds in which the library starts."""
        return float(self.machine["fabric_transports_launch"][carried.transport])


def add_collective(
    program: Program,
    network: Network,
    row: Any,
    part: float,
    position: Position,
    begin: Ready,
    early: Ready,
    launch_s: float,
) -> Ready:
    """Add a `part` of a COLLECTIVE row: its start on every chip, its messages, its end; what each chip goes on after.

    begin: after which the messages may start; early: what the end waits for beside them.
    """
    kind, amount = int(row["group"]), part * float(row["collective_bytes"])
    carried = network.carried(OPERATIONS.index(OP_NAMES[row["op"]]), amount, kind)
    started: Ready = []
    for number, inputs in enumerate(begin):
        start = Command(
            Queue(CHIP_LINK, ALL_CLUSTERS, number),
            LINK,
            position,
            inputs,
            network.launch_s(carried) * (part > 0.0),
            launch_s,
        )
        start.what = f"{OPERATIONS[carried.operation]}: start"
        started.append((program.add(start),))
    sent = network.send(program, carried, kind, position, started) if part > 0.0 else started
    ended: Ready = []
    for number, inputs in enumerate(sent):
        everything = tuple(sorted({*inputs, *early[number]}))
        end = Command(
            Queue(CHIP_LINK, ALL_CLUSTERS, number), LINK, position, everything, network.local_s(carried), what="end"
        )
        end.what = f"{OPERATIONS[carried.operation]}: own share"
        ended.append((program.add(end),))
    return ended


def _rounds(carried: Carried) -> list[Sequence[Flow]]:
    """The flows of each round; a message in chunks passes through all stages, a round later for each chunk."""
    exchange = carried.exchange
    if exchange.depth > 1:
        return [exchange.phases[0].flows] * (exchange.depth + carried.chunks - 1)
    return [phase.flows for phase in exchange.phases for _ in range(phase.times)]


def _given(value: float) -> float:
    return 0.0 if math.isnan(value) else float(value)


def _name(node: tuple[str, int, int]) -> str:
    kind, level, number = node
    return f"chip {number}" if kind == "chip" else f"{kind} {level}.{number}"
