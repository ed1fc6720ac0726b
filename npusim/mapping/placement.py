"""Plans on the fabric: which chips communicate, and the load that their collectives put on its links.

A schedule over a group of chips is reduced, once, to a few numbers: how often its slowest messages cross each level of
the fabric, and how many bytes (per byte of the message) its busiest link of each level carries while it is the
bottleneck, all groups of the plan being busy at the same time. The kernels compute times from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.collectives import SWITCH, Exchange, Flow
from npusim.hardware.fabric import Fabric
from npusim.hardware.flat import MAX_PARTS
from npusim.hardware.machine import GROUP_EXPERT, GROUP_EXPERT_TENSOR, GROUP_STAGE, GROUP_TENSOR
from npusim.hardware.runtime import Runtime
from npusim.hardware.system import System
from npusim.mapping.fairness import finish_times
from npusim.mapping.plan import Plan
from npusim.mapping.topology import INSIDE, Edge, Node, build_graph, chip, reducing_switch, route

if TYPE_CHECKING:
    import networkx as nx

Groups = tuple[tuple[int, ...], ...]
"""Chips of each of several groups of one size that work at the same time."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What the kernels read of one kind of group; NaN for a schedule that cannot run.

    shape: (schedules, 4): steps, messages beside them, depth, local part; hops: times that the slowest messages cross
    a link of each level, load: bytes on the busiest link, (schedules, MAX_PARTS).
    """

    shape: np.ndarray
    hops: np.ndarray
    load: np.ndarray

    def is_like(self, other: Tables) -> bool:
        """Whether all numbers are the same, to the last bit."""
        pairs = ((self.shape, other.shape), (self.hops, other.hops), (self.load, other.load))
        return all(np.array_equal(own, its, equal_nan=True) for own, its in pairs)


def groups_of(plan: Plan) -> dict[int, Groups]:
    """The groups of each kind that have more than one chip.

    Ranks are placed from the inside out: the chips that share a layer, then replicas, then stages.
    """
    tensor, stage = plan.tensor_parallel, plan.tensor_parallel * plan.data_parallel
    shared = plan.expert_tensor_parallel
    stages = range(0, plan.chips, stage)
    found = {
        GROUP_TENSOR: [range(first, first + tensor) for first in range(0, plan.chips, tensor)],
        GROUP_EXPERT: [range(first + index, first + stage, shared) for first in stages for index in range(shared)],
        GROUP_EXPERT_TENSOR: [range(first, first + shared) for first in range(0, plan.chips, shared)],
        GROUP_STAGE: [range(first, plan.chips, stage) for first in range(stage)],
    }
    return {kind: tuple(map(tuple, groups)) for kind, groups in found.items() if len(groups[0]) > 1}


def place_groups(machine: np.ndarray, system: System, runtime: Runtime, plan: Plan) -> np.ndarray:
    """`machine` (array of a `machine_dtype`) with what the groups of `plan` need of the fabric, in place."""
    machine["group_shape"] = np.nan
    for kind, groups in groups_of(plan).items():
        write_group(machine, system.server.fabric, kind, groups)
    write_transports(machine, system.server.fabric, runtime.collectives)
    machine["stages"], machine["micro_batches"] = plan.pipeline_parallel, plan.micro_batches
    return machine


def write_group(machine: np.ndarray, fabric: Fabric, kind: int, groups: Groups) -> None:
    """Write the tables of one kind of group into `machine`, in place."""
    tables = tables_of(fabric, groups)
    machine["group_shape"][:, kind] = tables.shape
    machine["group_hops"][:, kind] = tables.hops
    machine["group_load"][:, kind] = tables.load


def write_transports(machine: np.ndarray, fabric: Fabric, libraries: tuple[str, ...]) -> None:
    """Write into `machine`, in place, which transport serves which algorithm; () means the first library."""
    wanted = libraries or fabric.libraries[:1]
    machine["transport_serves"] = 0
    for number, transport in enumerate(fabric.transports):
        if transport.library in wanted:
            machine["transport_serves"][:, number] = [name in transport.algorithms for name in ALGORITHMS]


@cache
def tables_of(fabric: Fabric, groups: Groups) -> Tables:
    """The tables of groups of chips on `fabric` that all run the same collective at the same time.

    Groups that share no link and have the same tables alone have them together, too: each is as if it were alone.
    """
    return _one_for_all(fabric, groups) or _tables(_Network(fabric, groups))


def _one_for_all(fabric: Fabric, groups: Groups) -> Tables | None:
    """The tables of the first group alone, where they hold for all groups at once; None where they do not."""
    first, links = _alone(fabric, groups[0])
    crossed = set(links)
    for group in groups[1:]:
        tables, links = _alone(fabric, group)
        if not (tables.is_like(first) and crossed.isdisjoint(links)):
            return None
        crossed |= links
    return first


@cache
def _alone(fabric: Fabric, group: tuple[int, ...]) -> tuple[Tables, frozenset[int]]:
    """The tables of one group, and the links that any of its collectives crosses."""
    network = _Network(fabric, (group,))
    return _tables(network), frozenset(network.crossed)


def _tables(network: _Network) -> Tables:
    """The tables of the groups of a network."""
    tables = Tables(
        np.full((len(SCHEDULES), 4), np.nan),
        np.zeros((len(SCHEDULES), MAX_PARTS)),
        np.zeros((len(SCHEDULES), MAX_PARTS)),
    )
    for number, (operation, name) in enumerate(SCHEDULES):
        if ALGORITHMS[name].on_switch and network.switches is None:
            continue
        made = ALGORITHMS[name].exchange(operation, network.ranks, network.together)
        if made is None:
            continue
        tables.shape[number] = made.steps, made.messages, made.depth, made.local
        network.load_with(made, tables.hops[number], tables.load[number])
    return tables


@cache
def _wires(fabric: Fabric) -> tuple[nx.DiGraph, dict[tuple[Node, Node], list[int]]]:
    """The graph of a fabric, and the ways through it that were looked for so far, which all plans share."""
    return build_graph(fabric), {}


class _Network:
    """The graph of a fabric with the groups on it."""

    def __init__(self, fabric: Fabric, groups: Groups) -> None:
        self._fabric = fabric
        self._graph, self._routes = _wires(fabric)
        self._groups = groups
        self._edges = {edge: index for index, edge in enumerate(self._graph.edges)}
        data = [self._graph.edges[edge] for edge in self._edges]
        self._capacity = np.array([each["rate_bytes_per_s"] for each in data])
        self._level = np.array([each["level"] for each in data])
        self._latency = np.array([each["latency_s"] for each in data])
        self.switches = self._reducing_switches()
        self.together, self.ranks = together(fabric, groups[0]), len(groups[0])
        self.crossed: set[int] = set()

    def _reducing_switches(self) -> list[Node] | None:
        found = [reducing_switch(self._graph, self._fabric, list(group)) for group in self._groups]
        return None if None in found else [node for node in found if node is not None]

    def load_with(self, made: Exchange, hops: np.ndarray, load: np.ndarray) -> None:
        """Add what each phase costs: its slowest way to `hops`, its busiest link to `load`, both (MAX_PARTS,)."""
        for phase in made.phases:
            ways = [self._way(index, flow) for index in range(len(self._groups)) for flow in phase.flows]
            self.crossed.update(*ways)
            sizes = np.array([flow.part for _ in self._groups for flow in phase.flows])
            slowest = max(ways, key=lambda way: self._latency[way].sum())
            np.add.at(hops, self._level[slowest], phase.times)
            level, crossing = self._busiest(ways, sizes)
            load[level] += phase.times * crossing

    def _busiest(self, ways: list[list[int]], sizes: np.ndarray) -> tuple[int, float]:
        """Level of the link that ends last, and the bytes that it would carry in that time."""
        uses = np.zeros((len(self._edges), len(ways)), np.bool_)
        for flow, way in enumerate(ways):
            uses[way, flow] = True
        busy = uses.any(axis=1)
        finish = finish_times(np.zeros(len(ways)), sizes, uses[busy], self._capacity[busy])
        last = ways[int(finish.argmax())]
        link = max(last, key=lambda edge: float(sizes[uses[edge]].sum()) / self._capacity[edge])
        return int(self._level[link]), float(finish.max() * self._capacity[link])

    def _way(self, number: int, flow: Flow) -> list[int]:
        """Links that cost something between the two ends of a flow of group number `number`."""
        source, target = (self._end(number, rank) for rank in (flow.source, flow.target))
        known = self._routes.get((source, target))
        if known is None:
            edges: list[Edge] = route(self._graph, source, target)
            known = [self._edges[edge] for edge in edges if self._graph.edges[edge]["level"] != INSIDE]
            self._routes[source, target] = known
        return known

    def _end(self, number: int, rank: int) -> Node:
        if rank == SWITCH:
            assert self.switches is not None
            return self.switches[number]
        return chip(self._groups[number][rank])


def together(fabric: Fabric, group: tuple[int, ...]) -> int:
    """Ranks of a group that lie in one part of the fabric, at the outermost level that cuts it evenly; 1 without."""
    for level in range(len(fabric.levels) - 1, 0, -1):
        width = prod(int(inner.members.value) for inner in fabric.levels[:level])
        sizes = {len(list(part)) for _, part in groupby(number // width for number in group)}
        if len(sizes) == 1 and 1 < next(iter(sizes)) < len(group):
            return next(iter(sizes))
    return 1
