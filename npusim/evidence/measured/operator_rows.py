"""Single operators of a table as rows of an OpTable."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npusim import dtypes
from npusim.evidence.measured.tables import Unrepresentable
from npusim.hardware.catalog import load_system
from npusim.hardware.machine import build_machine
from npusim.inputs import remembered
from npusim.mapping.optable import (
    ATTEND,
    ATTENTION,
    EMBED,
    GATHER,
    LINEAR,
    OP_DTYPE,
    QKV,
    SPLIT_COLUMNS,
    UNIT_NPU,
    VECTOR,
    account,
    attended_pairs,
    attended_tokens,
)
from npusim.workload.blocks import Experts
from npusim.workload.formats import kv_bits, stored_bits
from npusim.workload.precision import SCHEMES
from npusim.workload.routing import choice_chances

Fields = tuple[tuple[str, Any], ...]
"""Names and values of fields of an OpTable row: numbers, popularities as a tuple of them."""


class Heads(NamedTuple):
    """Query heads, key-value heads and elements of each."""

    query: int
    kv: int
    size: int


def linear(arch: str, scheme: str, m: int, n: int, k: int, split: int = SPLIT_COLUMNS) -> Fields:
    """x[m, k] . w[n, k] in a precision scheme, 16-bit results. Raises Unrepresentable where the chip cannot."""
    weights, activations = SCHEMES[scheme]
    stored, given = dtypes.code(weights), dtypes.code(activations)
    multiplied = int(_multiplies(arch)[stored, given])
    if multiplied == dtypes.NOT_MULTIPLIED:
        raise Unrepresentable(f"{arch} has no way to multiply {weights} weights with {activations} activations")
    return _fields(
        LINEAR,
        QKV,
        m=m,
        n=n,
        k=k,
        split=split,
        weight_dtype=stored,
        activation_dtype=multiplied,
        weight_bits=stored_bits(weights),
        activation_bits=stored_bits(activations),
    )


def grouped_linear(
    arch: str, scheme: str, op: int, rows: int, n: int, k: int, experts: Experts, touched: float
) -> Fields:
    """x[rows, k] . w[n, k] of each row's expert, `touched` of them in all, chosen at random. As `linear`."""
    chances = choice_chances(experts.count, experts.chosen, experts.skew)
    grouped = {"op": op, "matrices": experts.count, "popularity": chances, "touched": touched}
    return tuple((dict(linear(arch, scheme, rows, n, k)) | grouped).items())


def decode_attention_row(batch: int, context: int, heads: Heads, window: int = 0, cache_type: str = "bf16") -> Fields:
    """One new token for each of `batch` sequences over `context` tokens; window 0: all of them."""
    reach = attended_tokens(1.0, float(context), float(window))
    touched = batch * reach
    sizes = {"batch": batch, "m": batch, "query": 1, "kv": reach, "kv_tokens": touched, "pairs": touched}
    return _attention(heads, cache_type, window, decoding=1, **sizes)


def prompt_attention(
    batch: int, query: int, context: int, heads: Heads, window: int = 0, cache_type: str = "bf16", causal: bool = True
) -> Fields:
    """`query` new tokens for each of `batch` sequences over `context` tokens, of which they are the last."""
    reach = attended_tokens(float(query), float(context), float(window))
    pairs = attended_pairs(float(query), float(context), float(window)) if causal else float(query * context)
    sizes = {"batch": batch, "m": batch * query, "query": query, "kv": reach}
    return _attention(heads, cache_type, window, kv_tokens=batch * reach, pairs=batch * pairs, **sizes)


def vector(op: int, rows: int, columns: int, moved: float) -> Fields:
    """An element-wise or row-wise operator that moves `moved` 16-bit elements a row."""
    return _fields(VECTOR, op, m=rows, n=columns, elements=moved)


def gather(tokens: int, width: int) -> Fields:
    """An embedding: `tokens` rows of `width` 16-bit elements."""
    return _fields(GATHER, EMBED, m=tokens, n=width)


def op_row(fields: Fields) -> np.ndarray:
    """`fields` as one OpTable row with its bytes and flops, array (1,) of OP_DTYPE.

    The keys and values of the new tokens already lie in memory: the operator reads the KV cache and writes none.
    """
    rows = np.zeros(1, OP_DTYPE)
    rows["repeat"] = 1
    rows["first_input"] = rows["second_input"] = -1
    rows["units"] = UNIT_NPU
    rows["weight_dtype"] = rows["activation_dtype"] = dtypes.BF16
    rows["weight_bits"] = rows["activation_bits"] = stored_bits("bf16")
    for name, value in fields:
        rows[name] = value
    account(rows[0])
    rows["kv_write_bytes"] = 0.0
    return rows


def _attention(heads: Heads, cache_type: str, window: int, **sizes: float) -> Fields:
    shape = {"heads": heads.query, "kv_heads": heads.kv, "head_dim": heads.size, "window": window}
    return _fields(ATTENTION, ATTEND, kv_bits=kv_bits(cache_type), **shape, **sizes)


@remembered
def _multiplies(arch: str) -> np.ndarray:
    table: np.ndarray = build_machine(load_system(arch, uncalibrated=True))[0]["multiplies"]
    return table


def _fields(kind: int, op: int, **values: float) -> Fields:
    return (("kind", kind), ("op", op), *values.items())
