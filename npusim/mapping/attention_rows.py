"""Rows of a layer's attention: grouped-query attention, and multi-head latent attention in its two forms."""

from __future__ import annotations

from typing import Any

from npusim.mapping.optable import (
    ABSORB,
    ATTEND,
    ATTENTION,
    CONCAT,
    DECODE_ONLY,
    KV_DOWN,
    KV_UP,
    NORM,
    OUT,
    PER_CONTEXT,
    PER_TOKEN,
    PROMPT_ONLY,
    Q_DOWN,
    Q_UP,
    QKV,
    ROPE,
    SPLIT_COLUMNS,
    SPLIT_NONE,
    SPLIT_ROWS,
    UNIT_NPU,
    UNIT_PIM,
)
from npusim.mapping.plan import Shard
from npusim.mapping.rows import Rows
from npusim.workload.blocks import Latent
from npusim.workload.model import Model
from npusim.workload.precision import Precision
from npusim.workload.routing import GROUPS

_WIDE = Precision("bf16", "bf16", "bf16", "bf16")


def grouped_query(rows: Rows, model: Model, precision: Precision, part: Shard, window: int) -> None:
    """Projections, rotary embedding, attention with keys and values of each head, output projection."""
    query_width, kv_width = part.heads * model.head_dim, part.kv_heads * model.head_dim
    rope_elements = query_width + kv_width
    rows.linear(QKV, precision, query_width + 2 * kv_width, model.hidden, SPLIT_COLUMNS)
    rows.vector(ROPE, rope_elements * (2 if model.qk_norm else 1), 2 * rope_elements)
    rows.add(
        ATTENTION,
        ATTEND,
        scales_with=PER_TOKEN,
        units=UNIT_NPU | UNIT_PIM,
        heads=part.heads,
        kv_heads=part.kv_heads,
        head_dim=model.head_dim,
        value_dim=model.head_dim,
        window=window,
        sinks=model.sinks,
        kv_bits=precision.kv_bits,
    )
    rows.linear(OUT, precision, model.hidden, query_width, SPLIT_ROWS)


def latent(rows: Rows, hidden: int, latent: Latent, precision: Precision, heads: int, window: int = 0) -> None:
    """Multi-head latent attention of `heads` heads (DeepSeek-AI, arXiv 2405.04434, section 2.1).

    The keys and values of a prompt are expanded from the latents of all attended tokens, then attended as usual.
    Decoding absorbs that product: queries are projected into the space of the latents, which serve as the only head of
    keys and values, and the result is projected back. Every rank keeps the whole latent; the absorbed matrices are
    those of `kv_up`, in 16 bits.
    """
    query_width, value_width = heads * latent.query, heads * latent.value
    if latent.query_rank:
        rows.linear(Q_DOWN, precision, latent.query_rank + latent.cached, hidden, SPLIT_NONE)
        rows.vector(NORM, latent.query_rank + latent.kv_rank, 2 * (latent.query_rank + latent.kv_rank))
        rows.linear(Q_UP, precision, query_width, latent.query_rank, SPLIT_COLUMNS)
    else:
        rows.linear(KV_DOWN, precision, latent.cached, hidden, SPLIT_NONE)
        rows.vector(NORM, latent.kv_rank, 2 * latent.kv_rank)
        rows.linear(Q_UP, precision, query_width, hidden, SPLIT_COLUMNS)
    rotated = (heads + 1) * latent.rope
    rows.vector(ROPE, rotated, 2 * rotated)
    _expanded(rows, latent, precision, heads, window)
    _absorbed(rows, latent, precision, heads, window)
    rows.linear(OUT, precision, hidden, value_width, SPLIT_ROWS)


def _expanded(rows: Rows, latent: Latent, precision: Precision, heads: int, window: int) -> None:
    """Keys and values of all tokens that a prompt's chunk attends, each key joined of its two parts; attention."""
    width = heads * (latent.nope + latent.value)
    rows.linear(
        KV_UP, precision, width, latent.kv_rank, SPLIT_COLUMNS,
        phase=PROMPT_ONLY, scales_with=PER_CONTEXT, window=window,
    )  # fmt: skip
    keys = heads * latent.query
    rows.vector(CONCAT, keys, 2 * keys, phase=PROMPT_ONLY, scales_with=PER_CONTEXT, window=window)
    rows.add(
        ATTENTION,
        ATTEND,
        phase=PROMPT_ONLY,
        scales_with=PER_TOKEN,
        heads=heads,
        kv_heads=heads,
        head_dim=latent.query,
        value_dim=latent.value,
        window=window,
        latent=latent.cached,
        kv_bits=precision.kv_bits,
    )


def _absorbed(rows: Rows, latent: Latent, precision: Precision, heads: int, window: int) -> None:
    """Decoding over the latents themselves, between the two products that project queries and results."""
    each_head: dict[str, Any] = {
        "phase": DECODE_ONLY,
        "units": UNIT_NPU,
        "fan": heads,
        "matrices": heads,
        "stored": 0,
        "popularity": (1.0,) * GROUPS,
    }
    rows.linear(ABSORB, _WIDE, latent.kv_rank, latent.nope, SPLIT_COLUMNS, **each_head)
    queries = heads * latent.cached
    rows.vector(CONCAT, queries, 2 * queries, phase=DECODE_ONLY)
    rows.add(
        ATTENTION,
        ATTEND,
        phase=DECODE_ONLY,
        scales_with=PER_TOKEN,
        units=UNIT_NPU | UNIT_PIM,
        heads=heads,
        kv_heads=1,
        head_dim=latent.cached,
        value_dim=latent.kv_rank,
        window=window,
        latent=latent.cached,
        kv_bits=precision.kv_bits,
    )
    rows.linear(ABSORB, _WIDE, latent.value, latent.kv_rank, SPLIT_COLUMNS, **each_head)
