"""Rows of state-space layers and linear attention, and of attention over compressed or chosen tokens."""

from __future__ import annotations

from typing import Any

from npusim.mapping.optable import (
    ATTEND,
    ATTENTION,
    BOTH_PHASES,
    COMPRESS,
    CONVOLVE,
    EXPAND,
    NORM,
    OUT,
    PER_TOKEN,
    Q_DOWN,
    Q_UP,
    QKV,
    ROPE,
    SCAN,
    SCORE,
    SILU,
    SPLIT_COLUMNS,
    SPLIT_NONE,
    SPLIT_ROWS,
    UNIT_NPU,
)
from npusim.mapping.plan import share_of
from npusim.mapping.rows import Rows
from npusim.workload.formats import kv_bits
from npusim.workload.precision import Precision
from npusim.workload.recurrent import Recurrent, tail_bytes
from npusim.workload.sparse import Compressed, Indexer

_BITS_PER_BYTE = 8.0
_INDEX_FORMAT = "fp8"
"""Keys of an indexer are kept in 8 bits (DeepSeek-AI, DeepSeek-V3.2; vLLM), or narrower with the cache."""


def recurrent(rows: Rows, hidden: int, mixer: Recurrent, precision: Precision, out: Precision, ranks: int) -> None:
    """Projections, convolution, scan, gate, output projection; each chip has its heads' states.

    A scan is an attention over as many keys as its products are worth: of a token, the elements of the state that it
    meets, and the tokens of its own chunk. In memory it reads and writes the state, a decoding sequence once, a prompt
    once for each chunk (Dao, Gu, arXiv 2405.21060, section 6).
    """
    heads, projected, result = (share_of(size, ranks) for size in (mixer.heads, mixer.projected, mixer.result))
    rows.linear(QKV, precision, projected, hidden, SPLIT_COLUMNS)
    if mixer.taps:
        channels = share_of(mixer.channels, ranks)
        rows.vector(CONVOLVE, channels * mixer.taps, 2 * channels, state=tail_bytes(mixer) / ranks)
    for op, (columns, inputs) in zip((COMPRESS, EXPAND), mixer.further, strict=False):
        rows.linear(op, precision, share_of(columns, ranks), inputs, SPLIT_COLUMNS)
    if mixer.state:
        rows.add(
            ATTENTION,
            SCAN,
            scales_with=PER_TOKEN,
            heads=heads,
            kv_heads=heads,
            head_dim=mixer.key,
            value_dim=mixer.value,
            kv_bits=mixer.state_bits,
            state=heads * mixer.key * mixer.value * mixer.state_bits / _BITS_PER_BYTE,
            chunk=mixer.chunk,
            passes=mixer.passes,
            products=mixer.products,
        )
    rows.vector(SILU, result, 3 * result)
    rows.linear(OUT, out, hidden, result, SPLIT_ROWS)


def index(rows: Rows, hidden: int, indexer: Indexer, precision: Precision, stride: int = 1) -> None:
    """Scores of every token (or of every `stride` compressed to one), whose keys the indexer keeps.

    Every chip scores for itself, as the choice is that of all heads.
    """
    if indexer.shared:
        return
    width = indexer.heads * indexer.dim
    weights = indexer.heads if indexer.weighted else 0
    rows.linear(Q_UP, precision, width, indexer.inner, SPLIT_NONE)
    rows.linear(QKV, precision, (indexer.dim if stride == 1 else 0) + weights, hidden, SPLIT_NONE)
    rows.vector(ROPE, width, 2 * width)
    half = indexer.dim / 2.0
    rows.add(
        ATTENTION,
        SCORE,
        scales_with=PER_TOKEN,
        heads=indexer.heads,
        kv_heads=1,
        head_dim=half,
        value_dim=half,
        latent=indexer.dim,
        stride=stride,
        kv_bits=min(precision.kv_bits, kv_bits(_INDEX_FORMAT)),
    )


def compressed(rows: Rows, hidden: int, mixer: Compressed, precision: Precision, out: Precision, ranks: int) -> None:
    """DeepSeek-V4's attention: near tokens one by one, then those that are compressed, of which some may be chosen."""
    heads, dim = share_of(mixer.heads, ranks), mixer.head_dim
    rows.linear(
        Q_DOWN, precision, mixer.query_rank + dim + mixer.compressor + mixer.index_compressor, hidden, SPLIT_NONE
    )
    rows.vector(NORM, mixer.query_rank + dim, 2 * (mixer.query_rank + dim))
    rows.linear(Q_UP, precision, heads * dim, mixer.query_rank, SPLIT_COLUMNS)
    rows.vector(ROPE, (heads + 1) * dim, 2 * (heads + 1) * dim)
    shared: dict[str, Any] = {
        "heads": heads, "kv_heads": 1, "head_dim": dim, "value_dim": dim, "latent": dim, "kv_bits": precision.kv_bits,
    }  # fmt: skip
    rows.add(ATTENTION, ATTEND, scales_with=PER_TOKEN, window=mixer.window, sinks=mixer.sinks, **shared)
    if mixer.rate:
        reach = 0
        if mixer.indexer is not None:
            index(rows, hidden, mixer.indexer, precision, mixer.rate)
            reach = mixer.indexer.chosen * mixer.rate
        rows.add(
            ATTENTION, ATTEND, scales_with=PER_TOKEN, units=UNIT_NPU, phase=BOTH_PHASES, window=reach,
            chosen=float(reach > 0), stride=mixer.rate, **shared,
        )  # fmt: skip
    groups = share_of(mixer.groups, ranks)
    rows.linear(COMPRESS, out, groups * mixer.output_rank, mixer.heads * dim // mixer.groups, SPLIT_COLUMNS)
    rows.linear(OUT, out, hidden, groups * mixer.output_rank, SPLIT_ROWS)
