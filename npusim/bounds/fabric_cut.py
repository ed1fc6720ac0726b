"""The least time of a collective on a fabric, whatever the algorithm and the software: what must cross the links.

The chips of any part of the fabric must get from the others what they lack, and links carry no more than their smallest
cut (max-flow min-cut; Ford, Fulkerson 1956, "Maximal flow through a network"). Without a switch that sums, a rank of an
all-reduce must also send 2 (n - 1) / n of the message (Patarasuk, Yuan 2009, "Bandwidth optimal all-reduce algorithms
for clusters of workstations"). A message takes the latency of one link at the least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from npusim.hardware.collectives import ALL_REDUCE, ALL_TO_ALL, BROADCAST, SEND_RECV, least_part
from npusim.hardware.fabric import Fabric, Level
from npusim.inputs import remembered
from npusim.ledger import Quantity
from npusim.mapping.topology import build_graph, chip, reducing_switch

_SOURCE, _SINK = ("source", 0, 0), ("sink", 0, 0)


@dataclass(frozen=True)
class LeastTime:
    """seconds: that no collective falls below; across: name of the innermost level around the chips whose links take
    them; latency_s: of one link."""

    seconds: float
    across: str
    latency_s: float


@dataclass(frozen=True)
class _Cut:
    """The first `inside` of all ranks apart from the others. across: the level that joins them; rate_bytes_per_s: into
    them, over all links; sums: whether a switch sums and multicasts for all ranks."""

    inside: int
    across: str
    rate_bytes_per_s: float
    sums: bool


@remembered
def favourable(fabric: Fabric) -> Fabric:
    """The fabric with every link at its best: the highest raw rate, nothing lost to protocols, the least latency."""
    return fabric.model_copy(update={"levels": tuple(_best(level) for level in fabric.levels)})


def least_time(fabric: Fabric, operation: int, byte_count: float, ranks: int) -> LeastTime:
    """Of one collective of `byte_count` bytes over the first `ranks` chips: the slowest of all cuts.

    byte_count: the full vector (`hardware.collectives`). Raises ValueError for an unknown operation.
    """
    latency = fabric.levels[0].link.latency.value
    found = [
        LeastTime(_crossing(operation, ranks, cut) * byte_count / cut.rate_bytes_per_s, cut.across, latency)
        for cut in _cuts(fabric, ranks)
    ]
    slowest = max(found, key=lambda each: each.seconds)
    return LeastTime(max(latency, slowest.seconds), slowest.across, latency)


def _crossing(operation: int, ranks: int, cut: _Cut) -> float:
    """Part of the message that must come over a cut."""
    others = ranks - cut.inside
    if operation == ALL_TO_ALL:
        return cut.inside * others / ranks
    if operation in (BROADCAST, SEND_RECV):
        return 1.0
    if operation != ALL_REDUCE:
        return others / ranks
    return 1.0 if cut.sums or cut.inside > 1 else least_part(ALL_REDUCE, ranks)


@remembered
def _cuts(fabric: Fabric, ranks: int) -> tuple[_Cut, ...]:
    """Around one chip, and around the first part of each level that does not hold all ranks."""
    return tuple(_found_cuts(fabric, ranks))


def _found_cuts(fabric: Fabric, ranks: int) -> Iterator[_Cut]:
    import networkx as nx

    graph = build_graph(fabric)
    sums = reducing_switch(graph, fabric, list(range(ranks))) is not None
    for index, level in enumerate(fabric.levels):
        inside = prod(int(inner.members.value) for inner in fabric.levels[:index])
        if inside >= ranks:
            return
        whole = nx.DiGraph()
        whole.add_weighted_edges_from(
            ((source, target, rate) for source, target, rate in graph.edges.data("rate_bytes_per_s")), weight="capacity"
        )
        # An edge without a capacity carries any amount.
        whole.add_edges_from((_SOURCE, chip(rank)) for rank in range(inside, ranks))
        whole.add_edges_from((chip(rank), _SINK) for rank in range(inside))
        yield _Cut(inside, level.link.name, float(nx.maximum_flow_value(whole, _SOURCE, _SINK)), sums)


def _best(level: Level) -> Level:
    link = level.link
    best = {
        "bandwidth": _at(link.bandwidth, link.bandwidth.high),
        "latency": _at(link.latency, link.latency.low),
        "efficiency": _at(link.efficiency, 1.0),
        "packet": None,
    }
    return level.model_copy(update={"link": link.model_copy(update=best)})


def _at(quantity: Quantity, end: float | None) -> Quantity:
    return quantity if end is None else quantity.model_copy(update={"value": end})
