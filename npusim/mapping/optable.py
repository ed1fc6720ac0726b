"""OpTable: the operators of one step of one rank, one row each, without a word about the chip.

A row belongs to a segment, a run of layers that repeats `repeat` times; `first_input` and `second_input` are rows of
the same segment that must be done before it (-1: none). Bytes and flops follow from the shape by `account` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.compilation import kernel
from npusim.workload.step import Step

LINEAR, ATTENTION, VECTOR, GATHER, COLLECTIVE = range(5)
KIND_NAMES = ("linear", "attention", "vector", "gather", "collective")

(EMBED, NORM, QKV, ROPE, ATTEND, OUT, GATE_UP, SILU, DOWN, ALL_REDUCE, LM_HEAD, ALL_GATHER, SAMPLE, CAST, SOFTMAX) = (
    range(15)
)
OP_NAMES = (
    "embed", "norm", "qkv", "rope", "attention", "out", "gate_up", "activation", "down",
    "all_reduce", "lm_head", "all_gather", "sample", "cast", "softmax",
)  # fmt: skip

PER_TOKEN, PER_SEQUENCE = range(2)
SPLIT_NONE, SPLIT_COLUMNS, SPLIT_ROWS = range(3)
UNIT_NPU, UNIT_PIM = 1, 2

_INTEGERS = (
    "kind", "op", "segment", "repeat", "first_input", "second_input", "units", "device",
    "scales_with", "split", "decoding", "weight_dtype", "activation_dtype", "ranks", "library",
)  # fmt: skip
_FLOATS = (
    "m", "n", "k", "batch", "query", "kv", "kv_tokens", "pairs", "window",
    "heads", "kv_heads", "head_dim", "elements",
    "weight_bits", "activation_bits", "kv_bits",
    "weight_bytes", "kv_read_bytes", "kv_write_bytes", "activation_bytes", "flops", "collective_bytes",
)  # fmt: skip

OP_DTYPE = np.dtype([*((name, np.int64) for name in _INTEGERS), *((name, np.float64) for name in _FLOATS)])


@dataclass(frozen=True)
class OpTable:
    """rows: array of OP_DTYPE in the order of execution; step: the sequences that the rows compute."""

    rows: np.ndarray
    step: Step


@kernel
def account(row):
    """Set a row's bytes and flops from its shape: each input read once, each output written once; 1 MAC = 2 flops."""
    bits_per_byte = 8.0
    if row.kind == LINEAR:
        row.weight_bytes = row.n * row.k * row.weight_bits / bits_per_byte
        row.activation_bytes = row.m * (row.k * row.activation_bits / bits_per_byte + 2.0 * row.n)
        row.flops = 2.0 * row.m * row.n * row.k
    elif row.kind == ATTENTION:
        kv_bytes_per_token = 2.0 * row.kv_heads * row.head_dim * row.kv_bits / bits_per_byte
        row.kv_read_bytes = row.kv_tokens * kv_bytes_per_token
        row.kv_write_bytes = row.m * kv_bytes_per_token
        row.activation_bytes = 2.0 * 2.0 * row.m * row.heads * row.head_dim
        row.flops = 4.0 * row.pairs * row.heads * row.head_dim
    elif row.kind == VECTOR:
        row.activation_bytes = 2.0 * row.m * row.elements
        row.flops = row.m * row.n
    elif row.kind == GATHER:
        row.weight_bytes = row.m * row.n * row.weight_bits / bits_per_byte
        row.activation_bytes = 2.0 * row.m * row.n
    else:
        row.collective_bytes = 2.0 * row.m * row.n


@kernel
def attended_pairs(query, context, window):
    """(query, key) pairs of causal attention of `query` new tokens that end at `context`; window 0 = full."""
    before = context - query
    if window <= 0 or context <= window:
        return query * before + query * (query + 1.0) / 2.0
    growing = max(0.0, min(query, window - before))
    return growing * before + growing * (growing + 1.0) / 2.0 + (query - growing) * window


@kernel
def attended_tokens(query, context, window):
    """KV tokens that causal attention of `query` new tokens touches; window 0 = full."""
    if window <= 0:
        return context
    return min(context, window + query - 1.0)
