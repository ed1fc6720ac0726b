"""Single operators on one GPU, timed as bursts."""

from __future__ import annotations

from collections.abc import Callable

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.operator_rows import (
    Fields,
    Heads,
    decode_attention_row,
    grouped_linear,
    linear,
    prompt_attention,
    vector,
)
from npusim.evidence.measured.placement import scheme
from npusim.evidence.measured.sources import sources, with_percentiles
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.kernel_libraries import Libraries
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.mapping.optable import CAST, EXPERT_DOWN, EXPERT_UP, NORM, SILU, SOFTMAX
from npusim.workload.catalog import load_model
from npusim.workload.feeds import Experts

_SIXTEEN_BIT = 2.0
_VECTOR_OPS = {"rms_norm": NORM, "silu": SILU, "add": CAST, "softmax": SOFTMAX}
"""Element-wise and row-wise operators; an addition is one pass, as a type conversion is."""
_ATTENTION_LIBRARIES = {"flash": "flash-2", "cudnn": "cudnn"}
_LINEAR_LIBRARY = "cublas"
"""Library of matrix products whose rows name none."""
_MODELS = ("llama-3.1-8b", "llama-3.3-70b")
_GROUPED_OPS = {"grouped_gemm_up": EXPERT_UP, "grouped_gemm_down": EXPERT_DOWN}
_HIT = "hit="
_COPY_ENGINE_BYTES = 1 << 30
"""Copies that move as much or more go another way, and slower."""


def _cases(row: Row, arch: str) -> list[Case]:
    """us of each operator; the power limit has no time to act."""
    op, dtype, backend = row.text("op"), row.text("dtype"), row.text("backend")
    if op not in _BUILDERS:
        raise Unrepresentable(f"no operator '{op}'; known: {', '.join(_BUILDERS)}")
    prefilling = op in ("attn_prefill", "attn_chunk")
    fields, libraries = _BUILDERS[op](row, arch), _libraries(op, backend)
    predictor = OperatorPredictor(arch, GPU_RUNTIME, fields, prefilling, libraries=libraries)
    model = _model(row)
    again, time = sources().spreads.device_events.value, row.measured("us") or 1.0
    sigma = with_percentiles(again, time, row.measured("us_p5"), row.measured("us_p95"))
    return cases_of(
        row,
        (Figure("us", "us", sigma, main=True),),
        predictor,
        group=f"{model} {dtype}",
        model=model,
        dimensions={
            "op": op,
            "dtype": dtype,
            "backend": backend,
            "matrix": row.text("note") if op == "gemm" else "",
            "m": row.text("m"),
            "rows": row.text("rows"),
            "batch": row.text("batch"),
            "query": row.text("q_len"),
            "context": row.text("kv_len"),
        },
    )


def _model(row: Row) -> str:
    """The model whose shapes the row has: the table takes its matrices, heads and widths from few."""
    op = row.text("op")
    if op in _GROUPED_OPS:
        return row.text("note").partition(" ")[0]
    if op == "copy":
        return op
    if op == "gemm":
        width = min(row.count("n"), row.count("k"))
    else:
        width = row.count("cols") if op in _VECTOR_OPS else row.count("heads") * row.count("head_dim")
    return next((name for name in _MODELS if load_model(name).hidden == width), f"width {width}")


def _libraries(op: str, backend: str) -> Libraries:
    """The kernel library that a backend is. Raises Unrepresentable for an unknown one."""
    if op in _VECTOR_OPS or op == "copy":
        return (("vector", "eager"),)
    if op in _GROUPED_OPS:
        return (("grouped", "torch-grouped"),)
    if op == "gemm":
        return (("linear", backend or _LINEAR_LIBRARY),)
    if backend not in _ATTENTION_LIBRARIES:
        raise Unrepresentable(f"no attention library '{backend}'; known: {', '.join(_ATTENTION_LIBRARIES)}")
    return (("attention", _ATTENTION_LIBRARIES[backend]),)


def _gemm(row: Row, arch: str) -> Fields:
    return linear(arch, scheme(row.text("dtype")), row.count("m"), row.count("n"), row.count("k"))


def _grouped(row: Row, arch: str) -> Fields:
    """The experts touched, which the note gives as hit=COUNT."""
    experts = Experts(row.count("experts"), row.count("topk"), row.count("n"))
    hit = row.text("note").rpartition(_HIT)[2]
    if not hit.isdecimal():
        raise Unrepresentable("the note does not say how many experts were hit")
    rows, op = row.count("m") * experts.chosen, _GROUPED_OPS[row.text("op")]
    return grouped_linear(
        arch, scheme(row.text("dtype")), op, rows, row.count("n"), row.count("k"), experts, float(hit)
    )


def _copy(row: Row, arch: str) -> Fields:
    moved = row.count("bytes")
    if moved >= _COPY_ENGINE_BYTES:
        raise Unrepresentable("a copy of 1 GiB or more, which no kernel of the vector libraries makes")
    elements = round(moved / _SIXTEEN_BIT)
    return vector(CAST, 1, elements // 2, elements)


def _decode(row: Row, arch: str) -> Fields:
    return decode_attention_row(row.count("batch"), row.count("kv_len"), _heads(row))


def _prefill(row: Row, arch: str) -> Fields:
    return prompt_attention(row.count("batch"), row.count("q_len"), row.count("kv_len"), _heads(row))


def _chunk(row: Row, arch: str) -> Fields:
    return prompt_attention(row.count("batch"), row.count("q_len"), row.count("kv_len"), _heads(row), causal=False)


def _heads(row: Row) -> Heads:
    if row.text("dtype") != "bf16":
        raise Unrepresentable(f"attention in {row.text('dtype')} is not predicted")
    return Heads(row.count("heads"), row.count("kv_heads"), row.count("head_dim"))


def _vector(row: Row, arch: str) -> Fields:
    rows, columns = row.count("rows"), row.count("cols")
    return vector(_VECTOR_OPS[row.text("op")], rows, columns, row.number("bytes") / rows / _SIXTEEN_BIT)


_BUILDERS: dict[str, Callable[[Row, str], Fields]] = {
    "gemm": _gemm,
    "attn_decode": _decode,
    "attn_prefill": _prefill,
    "attn_chunk": _chunk,
    "copy": _copy,
    **dict.fromkeys(_VECTOR_OPS, _vector),
    **dict.fromkeys(_GROUPED_OPS, _grouped),
}


KIND = TableKind(
    name="operators",
    columns="op dtype backend m n k batch q_len kv_len heads kv_heads head_dim rows cols bytes us",
    main="us",
    telling=("op", "backend", "dtype"),
    cases=of_chip(_cases, "gpu"),
    regime=lambda case: case.dimensions["op"],
)
