"""Parts of a model as a served card computes them, by new tokens, in nanoseconds: Llama 3.1 8B on all engines.

The dense work of a decoder layer stands under one of its products, its other parts are blank (0 or 1 ns). Only some
numbers of tokens were timed; what lies between two of them on a straight line was filled in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from npusim.evidence.measured.case import Case, Predictor, Skip
from npusim.evidence.measured.collect import Figure, cases_of, each_row
from npusim.evidence.measured.kind import TableKind, of_chips_table
from npusim.evidence.measured.kinds.card_kernels import token_range
from npusim.evidence.measured.operator_rows import linear
from npusim.evidence.measured.placement import Placement, placed
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import MeasuredTable, Row, Unrepresentable
from npusim.evidence.predictors.layer import DenseLayerPredictor
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.units import NS_PER_S, US_PER_S
from npusim.workload.catalog import load_model

_RUNTIME = "furiosa-llm-2026.3"
_MODEL = "llama-3.1-8b"
_TIME = "latency(ns)"
_DENSE, _HEAD = "gate_proj", "lm_head"
_STARTS = ("embedding", "final_layernorm")
_ROUNDING_NS = 2.0
"""How far a filled-in time, of whole nanoseconds, may lie from the line between its neighbours."""


def _table_cases(table: MeasuredTable, arch: str) -> list[Case | Skip]:
    timed = _timed(table)
    return each_row(table, lambda row: _cases(row, arch, timed))


def _timed(table: MeasuredTable) -> set[float]:
    """Numbers of tokens that were timed: of any part, not filled in between two others or held beyond the last."""
    parts = defaultdict(list)
    for row in table.rows():
        parts[row.text("layer_name")].append((row.number("input"), row.measured(_TIME) or 0.0))
    found = set()
    for points in (sorted(set(rows)) for rows in parts.values()):
        found.add(points[0][0])
        for before, (tokens, time_ns), after in zip(points, points[1:], points[2:], strict=False):
            share = (tokens - before[0]) / (after[0] - before[0])
            on_line = before[1] + (after[1] - before[1]) * share
            if abs(time_ns - on_line) > _ROUNDING_NS and time_ns != before[1]:
                found.add(tokens)
    return found


def _cases(row: Row, arch: str, timed: set[float]) -> list[Case]:
    part, tokens = row.text("layer_name"), row.count("input")
    if (row.measured(_TIME) or 0.0) <= 1.0:
        raise Unrepresentable("blank: its time is part of another row's")
    if row.size("kv_cache") or row.count("tp_size") != 1:
        raise Unrepresentable("only a whole card without a KV cache is predicted")
    if tokens not in timed:
        raise Unrepresentable("filled in between two numbers of tokens that were timed, or held beyond them")
    predictor = _predictor(part, tokens, arch)
    found = cases_of(
        row,
        (Figure(_TIME, "us", sources().spreads.card_profiler.value, main=True),),
        predictor,
        group=f"parts of a served layer, {token_range(tokens)} tokens",
        model=_MODEL,
        dimensions={"op": _NAMES[part], "tokens": row.text("input")},
    )
    return [replace(case, metric="us", measured=case.measured * US_PER_S / NS_PER_S) for case in found]


def _predictor(part: str, tokens: int, arch: str) -> Predictor:
    model = load_model(_MODEL)
    if part == _DENSE:
        return DenseLayerPredictor(placed(Placement(arch, _RUNTIME, _MODEL, "bf16")), tokens)
    if part == _HEAD:
        return OperatorPredictor(arch, _RUNTIME, linear(arch, "bf16", tokens, model.vocab, model.hidden))
    if part in _STARTS:
        raise Unrepresentable("holds the start of a graph, which is not predicted apart")
    raise Unrepresentable(f"no part '{part}' of a served layer")


_NAMES = {_DENSE: "layer_dense", _HEAD: "lm_head"}
"""Parts by the names that other tables give them."""


KIND = TableKind(
    name="card_layers",
    columns="layer_name input kv_cache tp_size latency(ns)",
    main="us",
    telling=("op",),
    cases=of_chips_table(_table_cases, "contraction_processor"),
    regime=lambda case: case.dimensions["op"],
)
