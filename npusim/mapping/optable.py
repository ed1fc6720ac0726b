"""OpTable: the operators of one step of one rank, one row each, independent of the chip.

A row belongs to a segment, a run of layers that repeats `repeat` times; `first_input` and `second_input` are rows of
the same segment that must be done before it (-1: none). Bytes and flops follow from the shape by `account` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.compilation import kernel, record_type
from npusim.workload.routing import GROUPS
from npusim.workload.step import Step

LINEAR, ATTENTION, VECTOR, GATHER, COLLECTIVE = range(5)
KIND_NAMES = ("linear", "attention", "vector", "gather", "collective")

OP_NAMES = (
    "embed", "norm", "qkv", "rope", "attention", "out", "gate_up", "activation", "down",
    "all_reduce", "lm_head", "all_gather", "sample", "cast", "softmax",
    "router", "route", "expert_up", "expert_down", "combine", "q_down", "kv_down", "q_up", "kv_up", "absorb",
    "reduce_scatter", "all_to_all", "broadcast", "send_recv",
    "concat",
)  # fmt: skip
(
    EMBED, NORM, QKV, ROPE, ATTEND, OUT, GATE_UP, SILU, DOWN, ALL_REDUCE, LM_HEAD, ALL_GATHER, SAMPLE, CAST, SOFTMAX,
    ROUTER, ROUTE, EXPERT_UP, EXPERT_DOWN, COMBINE, Q_DOWN, KV_DOWN, Q_UP, KV_UP, ABSORB,
    REDUCE_SCATTER, ALL_TO_ALL, BROADCAST, SEND_RECV, CONCAT,
) = range(len(OP_NAMES))  # fmt: skip

PER_TOKEN, PER_SEQUENCE, PER_CONTEXT = range(3)
BOTH_PHASES, DECODE_ONLY, PROMPT_ONLY = range(3)
SPLIT_NONE, SPLIT_COLUMNS, SPLIT_ROWS = range(3)
UNIT_NPU, UNIT_PIM = 1, 2

_INTEGERS = (
    "kind", "op", "segment", "repeat", "first_input", "second_input", "units", "device", "phase",
    "scales_with", "split", "decoding", "weight_dtype", "activation_dtype", "ranks", "group", "library",
)  # fmt: skip
_FLOATS = (
    "m", "n", "k", "batch", "query", "kv", "kv_tokens", "pairs", "window",
    "heads", "kv_heads", "head_dim", "value_dim", "latent", "sinks", "elements",
    "pes", "tile", "spilled", "stays", "fan", "spread", "matrices", "stored", "touched", "dealt", "paired",
    "whole",
    "weight_bits", "activation_bits", "kv_bits",
    "weight_bytes", "kv_read_bytes", "kv_write_bytes", "activation_bytes", "flops", "collective_bytes",
)  # fmt: skip

OP_DTYPE = record_type(
    [
        *((name, np.int64) for name in _INTEGERS),
        *((name, np.float64) for name in _FLOATS),
        ("popularity", np.float64, (GROUPS,)),
    ]
)
"""Beside the sizes that their names say:

pes: engines of the chip on which the row runs, 1 where it has none of its own; tile: most bytes of weights of an engine
that its memory takes at a time; spilled: bytes of activations that pass through main memory; stays: fraction of weights
and KV that is in the chip's memory from the step before (these four are set as a step is costed); phase: the phase
whose tokens the row serves; fan: rows that one token makes of the operator (experts that it goes to, heads); spread:
rows of all ranks over those of this one, 0 where it has all; matrices: weight matrices of a grouped
product, 0 for a plain one, of which a step reads `touched` and memory holds `stored`; popularity: chance of a token to
go to a matrix of each group; dealt: 1 where a harness spread tokens exactly by these chances, 0 where they choose at
random; paired: 1 where each row runs with a matrix of its own, which is loaded for it alone. value_dim: elements of a
head's values, 0 as head_dim; whole: fraction of the layers in which each engine has whole query heads; latent: elements
of the cached latent of a token, 0 where keys and values of each head are cached; sinks: logits without a key, of each
head.
"""


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
        matrices = row.touched if row.matrices > 0.0 else 1.0
        row.weight_bytes = matrices * row.n * row.k * row.weight_bits / bits_per_byte
        row.activation_bytes = row.m * (row.k * row.activation_bits / bits_per_byte + 2.0 * row.n)
        row.flops = 2.0 * row.m * row.n * row.k
    elif row.kind == ATTENTION:
        _account_attention(row)
    elif row.kind == VECTOR:
        row.activation_bytes = 2.0 * row.m * row.elements
        row.flops = row.m * row.n
    elif row.kind == GATHER:
        row.weight_bytes = row.m * row.n * row.weight_bits / bits_per_byte
        row.activation_bytes = 2.0 * row.m * row.n
    else:
        row.collective_bytes = 2.0 * row.m * row.n


@kernel
def pair_elements(row):
    """Elements of one head's key and value, which is MACs per query and key."""
    return row.head_dim + (row.value_dim if row.value_dim > 0.0 else row.head_dim)


@kernel
def _account_attention(row):
    """The cache holds keys and values of each head, or one latent; a prompt reads what was expanded from latents."""
    bits_per_byte = 8.0
    macs = pair_elements(row)
    expanded = row.latent > 0.0 and row.phase == PROMPT_ONLY
    cached = row.latent if row.latent > 0.0 else row.kv_heads * macs
    row.kv_read_bytes = 0.0 if expanded else row.kv_tokens * cached * row.kv_bits / bits_per_byte
    row.kv_write_bytes = row.m * cached * row.kv_bits / bits_per_byte
    row.weight_bytes = 2.0 * row.heads * row.sinks
    row.activation_bytes = 2.0 * row.m * row.heads * macs
    if expanded:
        row.activation_bytes += 2.0 * row.kv_tokens * row.kv_heads * macs
    row.flops = 2.0 * row.pairs * row.heads * macs + 2.0 * row.m * row.heads * row.sinks


@kernel
def phase_units(row, live, prompts, prompt_tokens, attended):
    """Tokens, sequences or attended tokens of the phases that a row serves; 0 where the step has none.

    live: decoding sequences; prompts, prompt_tokens, attended: prompt chunks, their new tokens, what they attend.
    """
    units = 0.0
    if row.phase != PROMPT_ONLY:
        units += live
    if row.phase != DECODE_ONLY:
        if row.scales_with == PER_CONTEXT:
            units += attended
        else:
            units += prompt_tokens if row.scales_with == PER_TOKEN else prompts
    return units


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
