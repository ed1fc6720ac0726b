"""Rows of a layer's attention: grouped-query attention, and multi-head latent attention in its two forms."""

from __future__ import annotations

from typing import Any

from npusim.mapping.optable import (
    ABSORB,
    ATTEND,
    ATTENTION,
    BOTH_PHASES,
    CONCAT,
    DECODE_ONLY,
    EXPAND,
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
    SILU,
    SPLIT_COLUMNS,
    SPLIT_NONE,
    SPLIT_ROWS,
    UNIT_NPU,
    UNIT_PIM,
)
from npusim.mapping.plan import share_of
from npusim.mapping.rows import Rows
from npusim.mapping.state_rows import compressed, index, recurrent
from npusim.workload.attention import Attention, Latent
from npusim.workload.layers import Mixer
from npusim.workload.precision import Precision
from npusim.workload.recurrent import Recurrent
from npusim.workload.routing import GROUPS
from npusim.workload.sparse import Compressed

_WIDE = Precision("bf16", "bf16", "bf16", "bf16")


def attend(rows: Rows, mixer: Mixer, hidden: int, precision: Precision, out: Precision, ranks: int) -> None:
    """What mixes the tokens of a layer, as one of `ranks` chips does it; out: precision of the output projection."""
    if isinstance(mixer, Recurrent):
        recurrent(rows, hidden, mixer, precision, out, ranks)
    elif isinstance(mixer, Compressed):
        compressed(rows, hidden, mixer, precision, out, ranks)
    elif isinstance(mixer, Latent):
        latent(rows, hidden, mixer, precision, share_of(mixer.heads, ranks), mixer.window, out)
    else:
        grouped_query(rows, hidden, mixer, precision, out, ranks)


def grouped_query(
    rows: Rows, hidden: int, attention: Attention, precision: Precision, out: Precision, ranks: int
) -> None:
    """Projections, rotary embedding, attention with keys and values of each head, output projection."""
    heads, kv_heads, gate = (share_of(count, ranks) for count in (attention.heads, attention.kv_heads, attention.gate))
    query_width, of_kv = heads * attention.head_dim, attention.head_dim + attention.value_dim * (not attention.joint)
    own = 0 if attention.borrows else kv_heads * of_kv
    first = attention.query_rank or query_width
    rows.linear(QKV, precision, first + own + gate, hidden, SPLIT_COLUMNS)
    if attention.query_rank:
        rows.vector(NORM, first, 2 * first)
        rows.linear(Q_UP, precision, query_width, first, SPLIT_COLUMNS)
    if attention.indexer is not None:
        index(rows, hidden, attention.indexer, precision)
    rotated = query_width + (0 if attention.borrows else kv_heads * attention.head_dim)
    rows.vector(ROPE, rotated * (2 if attention.norms else 1), 2 * rotated)
    rows.add(
        ATTENTION,
        ATTEND,
        scales_with=PER_TOKEN,
        units=UNIT_NPU if attention.indexer or attention.window < 0 else UNIT_NPU | UNIT_PIM,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=attention.head_dim,
        value_dim=attention.value_dim,
        window=attention.indexer.chosen if attention.indexer else attention.window,
        chosen=attention.indexer is not None,
        borrowed=attention.borrows,
        sinks=attention.sinks,
        kv_bits=precision.kv_bits,
    )
    result = heads * attention.value_dim
    if gate:
        rows.vector(SILU, result, 3 * result)
    rows.linear(OUT, out, hidden, result, SPLIT_ROWS)


def latent(
    rows: Rows,
    hidden: int,
    latent: Latent,
    precision: Precision,
    heads: int,
    window: int = 0,
    out: Precision | None = None,
) -> None:
    """Multi-head latent attention of `heads` heads (DeepSeek-AI, arXiv 2405.04434, section 2.1).

    The keys and values of a prompt are expanded from the latents of all attended tokens, then attended as usual.
    Decoding absorbs that product: queries are projected into the space of the latents, which serve as the only head of
    keys and values, and the result is projected back. Every rank keeps the whole latent; the absorbed matrices are
    those of `kv_up`, in 16 bits. Where an indexer chooses tokens, prompts attend latents as well, and these matrices
    are all that is kept.
    """
    query_width, value_width = heads * latent.query, heads * latent.value
    if latent.query_rank:
        rows.linear(Q_DOWN, precision, latent.query_rank + latent.latent, hidden, SPLIT_NONE)
        rows.vector(NORM, latent.query_rank + latent.kv_rank, 2 * (latent.query_rank + latent.kv_rank))
        made = query_width + value_width * latent.query_gate
        rows.linear(Q_UP, precision, made, latent.query_inner(hidden), SPLIT_COLUMNS)
    else:
        rows.linear(KV_DOWN, precision, latent.latent, hidden, SPLIT_NONE)
        rows.vector(NORM, latent.kv_rank, 2 * latent.kv_rank)
        rows.linear(Q_UP, precision, query_width, hidden, SPLIT_COLUMNS)
    rotated = (heads + 1) * latent.rope
    rows.vector(ROPE, rotated, 2 * rotated)
    if latent.indexer is None:
        _expanded(rows, latent, precision, heads, window)
        _absorbed(rows, latent, precision, heads, window)
    else:
        index(rows, hidden, latent.indexer, precision)
        _absorbed(rows, latent, precision, heads, latent.indexer.chosen, BOTH_PHASES)
    if latent.gate:
        gate = latent.gate * heads // latent.heads
        rows.linear(EXPAND, precision, gate, hidden, SPLIT_COLUMNS)
    if latent.gate or latent.query_gate:
        rows.vector(SILU, value_width, 3 * value_width)
    rows.linear(OUT, out or precision, hidden, value_width, SPLIT_ROWS)


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
        latent=latent.latent,
        kv_bits=precision.kv_bits,
    )


def _absorbed(
    rows: Rows, latent: Latent, precision: Precision, heads: int, window: int, phase: int = DECODE_ONLY
) -> None:
    """Attention over the latents themselves, between the two products that project queries and results."""
    each_head: dict[str, Any] = {
        "phase": phase,
        "units": UNIT_NPU,
        "fan": heads,
        "matrices": heads,
        "stored": heads if latent.indexer else 0,
        "popularity": (1.0,) * GROUPS,
    }
    rows.linear(ABSORB, _WIDE, latent.kv_rank, latent.nope, SPLIT_COLUMNS, **each_head)
    queries = heads * latent.latent
    rows.vector(CONCAT, queries, 2 * queries, phase=phase)
    rows.add(
        ATTENTION,
        ATTEND,
        phase=phase,
        scales_with=PER_TOKEN,
        units=UNIT_NPU | UNIT_PIM,
        chosen=latent.indexer is not None,
        heads=heads,
        kv_heads=1,
        head_dim=latent.latent,
        value_dim=latent.kv_rank,
        window=window,
        latent=latent.latent,
        kv_bits=precision.kv_bits,
    )
    rows.linear(ABSORB, _WIDE, latent.value, latent.kv_rank, SPLIT_COLUMNS, **each_head)
