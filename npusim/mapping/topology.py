"""The fabric as a graph: chips, switches and ports are nodes, each direction of a link is an edge."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import inf
from typing import TYPE_CHECKING

from npusim.hardware.fabric import Fabric, Level

if TYPE_CHECKING:
    import networkx as nx

Node = tuple[str, int, int]
"""What it is, the index of its level in the fabric (0 for a chip), and its number there."""

Edge = tuple[Node, Node]
Port = tuple[Node, Node]
"""The way out of a group of chips and the way in: one node for a chip or a switch."""

INSIDE = -1
"""Level of the edges between chips and the port of their group: they cost nothing."""


def chip(number: int) -> Node:
    """The node of a chip."""
    return ("chip", 0, number)


def build_graph(fabric: Fabric) -> nx.DiGraph:
    """All chips that `fabric` can join, with its switches and links.

    Edges carry `level` (index into fabric.levels), `latency_s` and `rate_bytes_per_s`.
    """
    import networkx as nx

    graph = nx.DiGraph()
    chips = [[chip(number)] for number in range(fabric.chips)]
    ports: list[Port] = [(inside[0], inside[0]) for inside in chips]
    for index, level in enumerate(fabric.levels):
        members = int(level.members.value)
        joined, outer = [], []
        for number, first in enumerate(range(0, len(ports), members)):
            group = range(first, first + members)
            by_group = [[ports[each] for each in group]]
            by_chip = [[(node, node) for node in lane] for lane in zip(*(chips[each] for each in group), strict=True)]
            _join(graph, level, index, number, by_group if level.port == "group" else by_chip)
            joined.append([node for each in group for node in chips[each]])
            outer.append(_port(graph, level, index, number, joined[-1]))
        chips, ports = joined, outer
    return graph


def _join(graph: nx.DiGraph, level: Level, index: int, number: int, lanes: list[list[Port]]) -> None:
    """Links of one group of a level; every lane (one port of each member) is joined by itself, a switch joins all."""
    if level.shape == "switch":
        switch = ("switch", index, number)
        for way_out, way_in in (port for lane in lanes for port in lane):
            _link(graph, way_out, switch, level, index)
            _link(graph, switch, way_in, level, index)
        return
    for lane in lanes:
        neighbours = permutations(lane, 2) if level.shape == "mesh" else _around(lane)
        for source, target in neighbours:
            _link(graph, source[0], target[1], level, index)


def _around(lane: list[Port]) -> list[tuple[Port, Port]]:
    forward = [*pairwise(lane), (lane[-1], lane[0])] if len(lane) > 1 else []
    return [*forward, *((target, source) for source, target in forward)]


def _link(graph: nx.DiGraph, source: Node, target: Node, level: Level, index: int) -> None:
    link = level.link
    graph.add_edge(source, target, level=index, latency_s=link.latency.value, rate_bytes_per_s=link.rate_bytes_per_s)


def _port(graph: nx.DiGraph, level: Level, index: int, number: int, chips: list[Node]) -> Port:
    """Where a group meets the next level: at its switch, or where all its chips reach and nothing passes through."""
    if level.shape == "switch":
        switch = ("switch", index, number)
        return switch, switch
    way_out, way_in = ("way out", index, number), ("way in", index, number)
    free = {"level": INSIDE, "latency_s": 0.0, "rate_bytes_per_s": inf}
    for node in chips:
        graph.add_edge(node, way_out, **free)
        graph.add_edge(way_in, node, **free)
    return way_out, way_in


def route(graph: nx.DiGraph, source: Node, target: Node) -> list[Edge]:
    """The links of the quickest way for a small message."""
    import networkx as nx

    return list(pairwise(nx.shortest_path(graph, source, target, weight="latency_s")))


def reducing_switch(graph: nx.DiGraph, fabric: Fabric, chips: list[int]) -> Node | None:
    """The switch that sums and multicasts for all of `chips`, each with its own link to it; None without one."""
    for index, level in enumerate(fabric.levels):
        if not level.reduces:
            continue
        shared = set.intersection(*(set(graph.successors(chip(number))) for number in chips))
        found = [node for node in shared if node[:2] == ("switch", index)]
        if found:
            return found[0]
    return None
