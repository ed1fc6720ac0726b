"""What of a graph a kind of unit runs, and what the part that is left to the host costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from npusim.graphs.graph import ModelGraph
from npusim.graphs.operators import STATUSES, VIEW, Status, Support, host_operators, support_of, unit_kinds
from npusim.graphs.work import OperatorWork
from npusim.hardware.link import Link
from npusim.ledger import Quantity


@dataclass(frozen=True)
class Spanned:
    """A figure at the assumed values, and its least and most over their ranges."""

    value: float
    low: float
    high: float

    def __add__(self, other: Spanned) -> Spanned:
        return Spanned(self.value + other.value, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class PlacedOperator:
    """An operator on a unit: how it runs, and who says so (None where it is not told)."""

    work: OperatorWork
    status: Status
    support: Support | None


@dataclass(frozen=True)
class HostCost:
    """operators: that the host runs; transfers, moved_bytes: over the host link, each tensor once in each direction;
    link_s, host_s: seconds of the transfers and of the operators, one after the other."""

    operators: int
    transfers: int
    moved_bytes: float
    link_s: Spanned
    host_s: Spanned


def placed_on(works: Sequence[OperatorWork], unit: str) -> tuple[PlacedOperator, ...]:
    """How a kind of unit runs each operator."""
    found = []
    for work in works:
        support = support_of(work.node.op, work.kind, unit)
        found.append(PlacedOperator(work, "unknown" if support is None else support.status, support))
    return tuple(found)


def placed_on_any(works: Sequence[OperatorWork]) -> tuple[PlacedOperator, ...]:
    """How the kind of unit runs each operator that runs it worst: what holds for any."""
    every = [placed_on(works, unit) for unit in unit_kinds()]
    return tuple(max(same, key=lambda each: STATUSES.index(each.status)) for same in zip(*every, strict=True))


def counts(placed: Sequence[PlacedOperator]) -> dict[str, int]:
    """Operators of each status."""
    found = Counter(each.status for each in placed)
    return {status: found[status] for status in STATUSES}


def fractions(placed: Sequence[PlacedOperator], by_flops: bool = False) -> dict[str, float]:
    """Part of the operators, or of their known operations, of each status; 0 of nothing."""
    weights = [(each.status, (each.work.flops or 0.0) if by_flops else 1.0) for each in placed]
    whole = sum(weight for _, weight in weights)
    return {
        status: sum(weight for own, weight in weights if own == status) / whole if whole else 0.0 for status in STATUSES
    }


def host_cost(graph: ModelGraph, placed: Sequence[PlacedOperator], link: Link) -> HostCost:
    """What the host's part costs beside the device's. link: from the card to the host.

    What is unknown is taken to stay on the device. Inputs come from the host and results go there in any case.
    """
    crossing = _crossing(graph, placed)
    moved = [tensor.size or 0.0 for name in crossing if (tensor := graph.tensor(name)) is not None]
    seconds = [_transfer_s(link, size) for size in moved]
    computed = [_host_s(each.work) for each in placed if each.status == "host"]
    zero = Spanned(0.0, 0.0, 0.0)
    return HostCost(len(computed), len(crossing), sum(moved), sum(seconds, zero), sum(computed, zero))


def _crossing(graph: ModelGraph, placed: Sequence[PlacedOperator]) -> list[str]:
    """Tensors that one side makes and the other reads."""
    side: dict[str, bool] = {}
    crossing: dict[str, None] = {}
    for each in placed:
        on_host = each.status == "host"
        made = [name for name in each.work.node.inputs if name in side]
        # A view is where the tensor is that it names anew.
        if each.work.kind == VIEW and made:
            on_host = side[made[0]]
        crossing |= {name: None for name in made if side[name] != on_host and not _is_weight(graph, name)}
        side |= dict.fromkeys(each.work.node.outputs, on_host)
    return list(crossing)


def _is_weight(graph: ModelGraph, name: str) -> bool:
    tensor = graph.tensor(name)
    return tensor is not None and tensor.weight


def _ends(quantity: Quantity) -> Spanned:
    low = quantity.value if quantity.low is None else quantity.low
    high = quantity.value if quantity.high is None else quantity.high
    return Spanned(quantity.value, low, high)


def _transfer_s(link: Link, size: float) -> Spanned:
    latency, bandwidth, efficiency = _ends(link.latency), _ends(link.bandwidth), _ends(link.efficiency)
    return Spanned(
        latency.value + size / (bandwidth.value * efficiency.value),
        latency.low + size / (bandwidth.high * efficiency.high),
        latency.high + size / (bandwidth.low * efficiency.low),
    )


def _host_s(work: OperatorWork) -> Spanned:
    """Seconds of one operator on the host: its dispatch, then its bytes or its operations, whichever take longer."""
    host = host_operators()
    dispatch, memory, operations = _ends(host.dispatch), _ends(host.memory_rate), _ends(host.operations)
    size, flops = work.touched_bytes, work.flops or 0.0
    return Spanned(
        dispatch.value + max(size / memory.value, flops / operations.value),
        dispatch.low + max(size / memory.high, flops / operations.high),
        dispatch.high + max(size / memory.low, flops / operations.low),
    )


def named_operators(placed: Sequence[PlacedOperator], status: Status) -> Mapping[str, int]:
    """How often each operator of a status stands in the graph, the most frequent first."""
    return dict(Counter(each.work.node.op for each in placed if each.status == status).most_common())
