"""Operators and parts of a layer on a contraction processor, in device time; widths are those of Llama 3.1 8B."""

from __future__ import annotations

import math
from collections.abc import Callable

from npusim.evidence.measured.case import Case, Predictor
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.operator_rows import (
    Fields,
    Heads,
    decode_attention_row,
    gather,
    linear,
    prompt_attention,
    vector,
)
from npusim.evidence.measured.placement import Placement, placed, scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.layer import (
    CountedPredictor,
    DecodeAttentionPredictor,
    DenseLayerPredictor,
    PromptAttentionPredictor,
)
from npusim.evidence.predictors.operator import OperatorPredictor, ReductionPredictor
from npusim.mapping.optable import NORM, ROPE, SAMPLE, SILU, SPLIT_ROWS
from npusim.workload.catalog import load_model

_RUNTIME = "furiosa-llm-2026.3"
_MODEL = "llama-3.1-8b"
_LINEAR = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
_DECODING = ("decode_attention", "layer_decode_attention")
_TOKEN_RANGES = (16, 256, math.inf)
_RESCALED = "rescaled to wall clock"


def _cases(row: Row, arch: str) -> list[Case]:
    """us. A served layer on all PEs runs as its runtime does; anything else is a graph of one operator."""
    op, dtype, clock = row.text("op"), row.text("dtype"), _clock(row)
    predictor = _predictor(row, arch)
    spreads = sources().spreads
    counted = clock == "counter"
    sigma = spreads.card_counter.value if counted else spreads.card_profiler.value
    return cases_of(
        row,
        (Figure("us", "us", sigma, main=True),),
        CountedPredictor(predictor) if counted else predictor,
        group=_shapes(row),
        model=_MODEL,
        dimensions={
            "op": op,
            "dtype": dtype,
            "pes": row.text("pes"),
            "tp": row.text("tp"),
            "time_base": clock,
            "tokens": row.text("tokens"),
            "batch": row.text("batch"),
            "query": row.text("q_len"),
            "context": row.text("kv_len"),
        },
    )


def _clock(row: Row) -> str:
    """ "counter" for a time that a counter of assumed clock gave, else "wall"."""
    base = row.text("time_base")
    if base.startswith("profiler us") or _RESCALED in row.text("note"):
        return "wall"
    if base.startswith("TUC"):
        return "counter"
    raise Unrepresentable(f"no time base '{base}'; known: profiler us, TUC cycles")


def _shapes(row: Row) -> str:
    """The range of shapes in which a row lies: how a layer is cut, over how many engines, how many new tokens.

    Operators of one kind are predicted for shapes that were not timed; kinds that were not timed at all are none of
    the table's.
    """
    column = "batch" if row.text("op") in _DECODING else "q_len" if row.text("q_len") else "tokens"
    tokens = row.number(column)
    span = next(f"to {most}" for most in _TOKEN_RANGES if tokens <= most)
    return f"cut in {row.text('tp')} on {row.text('pes')} engines, {span} tokens"


def _predictor(row: Row, arch: str) -> Predictor:
    op, dtype, pes = row.text("op"), scheme(row.text("dtype")), row.count("pes")
    if op in _LAYERS and (op != "prefill_attention" or pes > 1):
        placement = placed(Placement(arch, _RUNTIME, _MODEL, dtype))
        return _LAYERS[op](row, placement)
    if op in _LINEAR or op in ("lm_head", "row_parallel_gemm", "reduction"):
        predictor = OperatorPredictor(arch, _RUNTIME, _product(row, arch, dtype), pes=pes)
        return ReductionPredictor(predictor) if op == "reduction" else predictor
    if op not in _OTHERS:
        raise Unrepresentable(f"no operator '{op}' of a single graph")
    if dtype != "bf16":
        raise Unrepresentable(f"{op} in {row.text('dtype')} is not predicted")
    prefilling = op == "prefill_attention"
    return OperatorPredictor(arch, _RUNTIME, _OTHERS[op](row), prefilling, pes=pes)


def _product(row: Row, arch: str, dtype: str) -> Fields:
    tokens, model = row.count("tokens"), load_model(_MODEL)
    if row.text("op") == "lm_head":
        return linear(arch, dtype, tokens, model.vocab, model.hidden)
    n, k = row.count("n"), row.count("k")
    if row.text("op") in _LINEAR:
        return linear(arch, dtype, tokens, n, k)
    return linear(arch, dtype, tokens, n, k, SPLIT_ROWS)


def _dense_layer(row: Row, placement: Placement) -> Predictor:
    return DenseLayerPredictor(placement, row.count("tokens"))


def _decode_layer(row: Row, placement: Placement) -> Predictor:
    return DecodeAttentionPredictor(placement, row.number("batch"), row.number("kv_len") + 1)


def _prompt_layer(row: Row, placement: Placement) -> Predictor:
    query = row.count("q_len")
    return PromptAttentionPredictor(placement, query, row.size("kv_len") + query)


def _activation(row: Row) -> Fields:
    width = load_model(_MODEL).intermediate // row.count("tp")
    return vector(SILU, row.count("tokens"), width, 3 * width)


def _norm(row: Row) -> Fields:
    width = load_model(_MODEL).hidden
    return vector(NORM, row.count("tokens"), width, 2 * width)


def _rope(row: Row) -> Fields:
    model = load_model(_MODEL)
    width = (model.query_width + model.kv_width) // row.count("tp")
    return vector(ROPE, row.count("tokens"), width, 2 * width)


def _sampler(row: Row) -> Fields:
    vocab = load_model(_MODEL).vocab
    return vector(SAMPLE, row.count("tokens"), vocab, 2 * vocab)


def _embedding(row: Row) -> Fields:
    return gather(row.count("tokens"), load_model(_MODEL).hidden)


def _decode(row: Row) -> Fields:
    return decode_attention_row(row.count("batch"), row.count("kv_len"), _heads(row))


def _prompt(row: Row) -> Fields:
    query = row.count("q_len")
    return prompt_attention(row.count("batch"), query, row.size("kv_len") + query, _heads(row))


def _heads(row: Row) -> Heads:
    return Heads(row.count("heads"), row.count("kv_heads"), row.count("head_dim"))


_LAYERS: dict[str, Callable[[Row, Placement], Predictor]] = {
    "layer_dense": _dense_layer,
    "layer_decode_attention": _decode_layer,
    "prefill_attention": _prompt_layer,
}
_OTHERS: dict[str, Callable[[Row], Fields]] = {
    "act_fn": _activation,
    "layernorm": _norm,
    "final_layernorm": _norm,
    "rotary_emb": _rope,
    "sampler": _sampler,
    "embedding": _embedding,
    "decode_attention": _decode,
    "prefill_attention": _prompt,
}


KIND = TableKind(
    name="card_kernels",
    columns="op dtype pes tp tokens k n batch q_len kv_len heads kv_heads head_dim us time_base",
    main="us",
    telling=("op", "pes", "time_base"),
    cases=of_chip(_cases, "contraction_processor"),
    regime=lambda case: case.dimensions["op"],
)
