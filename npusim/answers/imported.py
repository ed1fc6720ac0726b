"""The answer of `import`: the operators of a graph, what of them a chip runs, and what the host's part costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.graphs.coverage import (
    HostCost,
    PlacedOperator,
    Spanned,
    counts,
    fractions,
    host_cost,
    named_operators,
    placed_on,
    placed_on_any,
)
from npusim.graphs.graph import ModelGraph
from npusim.graphs.model_file import read_graph
from npusim.graphs.operators import unit_kinds, unit_support
from npusim.graphs.work import OperatorWork, works_of
from npusim.hardware.catalog import load_system
from npusim.inputs.limits import MOST
from npusim.units import US_PER_S

_EQUALS = "="


def parse_sizes(told: Sequence[str] | None) -> dict[str, int]:
    """The sizes of open dimensions by name from words such as batch=4. Raises UserError."""
    sizes: dict[str, int] = {}
    for word in told or ():
        name, equals, size = word.partition(_EQUALS)
        is_whole = size.isascii() and size.isdigit() and len(size) <= len(str(MOST))
        if not (name and equals and is_whole and 1 <= int(size) <= MOST):
            raise UserError("--dim", word, "is no dimension with its size; write it as batch=4")
        if name in sizes:
            raise UserError("--dim", name, "is given twice; keep one")
        sizes[name] = int(size)
    return sizes


def import_graph(path: Path, arch: str | None, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The answer for the file at `path` on an architecture; without one, on whatever unit. Raises UserError."""
    system = None if arch is None else load_system(arch)
    graph = read_graph(path, sizes)
    works = works_of(graph)
    unit = None if system is None else system.chip.unit.kind
    placed = placed_on_any(works) if unit is None else placed_on(works, unit)
    return {
        "file": path.name,
        "dialect": graph.dialect,
        "arch": None if system is None else system.name,
        "unit": unit,
        "operators": [_row(each) for each in placed],
        "totals": _totals(graph, works),
        "coverage": fractions(placed),
        "coverage_of_flops": fractions(placed, by_flops=True),
        "counts": counts(placed),
        "decomposed": named_operators(placed, "decomposed"),
        "on_host": named_operators(placed, "host"),
        "unknown": named_operators(placed, "unknown"),
        "host": None if system is None else _host(host_cost(graph, placed, system.card.host_link)),
        "by_unit": {kind: fractions(placed_on(works, kind)) for kind in unit_kinds()} if unit is None else None,
        "note": None if unit is None else unit_support(unit).note,
    }


def _row(each: PlacedOperator) -> dict[str, Any]:
    work, extents = each.work, each.work.extents
    return {
        "name": work.node.name,
        "op": work.node.op,
        "kind": work.kind,
        **{name: None if extents is None else getattr(extents, name) for name in ("m", "n", "k", "batch")},
        "flops": work.flops,
        "weight_bytes": work.weight_bytes,
        "input_bytes": work.input_bytes,
        "output_bytes": work.output_bytes,
        "status": each.status,
        "standing": None if each.support is None else each.support.standing,
        "source": None if each.support is None else each.support.source,
    }


def _totals(graph: ModelGraph, works: Sequence[OperatorWork]) -> dict[str, Any]:
    """Sums over what is known; unshaped: operators of which a shape is not, whose work is in no sum."""
    return {
        "operators": len(works),
        "flops": sum(work.flops or 0.0 for work in works),
        "weight_bytes": graph.weight_bytes,
        "unshaped": sum(work.flops is None for work in works),
    }


def _host(cost: HostCost) -> dict[str, Any]:
    return {
        "operators": cost.operators,
        "transfers": cost.transfers,
        "link_bytes": cost.moved_bytes,
        "link_us": _us(cost.link_s),
        "host_us": _us(cost.host_s),
        "time_us": _us(cost.link_s + cost.host_s),
    }


def _us(span: Spanned) -> dict[str, float]:
    return {"value": span.value * US_PER_S, "low": span.low * US_PER_S, "high": span.high * US_PER_S}
