"""What a model asks of memory and arithmetic at one shape, whatever the chip: counted generously, or as it is usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from npusim import dtypes
from npusim.inputs import remembered
from npusim.mapping.footprint import weight_bytes
from npusim.mapping.lower import lower, program
from npusim.mapping.optable import ATTENTION, GATHER, LINEAR, LM_HEAD
from npusim.mapping.plan import Plan
from npusim.workload.formats import stored_bits
from npusim.workload.model import Model
from npusim.workload.precision import Precision
from npusim.workload.step import decode, prefill

ATTENTION_OPS = "attention"
"""Name of the operations of attention among `prompt_ops` and `token_ops`; the others go by operand type."""

_ONE_CHIP = Plan(1, 1)
_BITS_PER_BYTE = 8.0


@dataclass(frozen=True)
class Demand:
    """stored_bytes: weights that must be held. step_bytes: weights that a decode step of one sequence reads.

    kv_bytes: keys and values that a decoding sequence reads in a step, the mean over its output; shared_kv_bytes: the
    part of it that sequences with the same prompt can read once for all; request_kv_bytes: held at its end.
    prompt_ops, token_ops: arithmetic of the whole prompt and of one decoded token (mean), by (weights, activations).
    """

    stored_bytes: float
    step_bytes: float
    kv_bytes: float
    shared_kv_bytes: float
    request_kv_bytes: float
    prompt_ops: Mapping[tuple[str, str], float]
    token_ops: Mapping[tuple[str, str], float]


@remembered
def demand_of(model: Model, precision: Precision, isl: int, osl: int, generous: bool) -> Demand:
    """The demand of `model` in `precision` for prompts of `isl` and outputs of `osl` tokens.

    generous: the head as narrow as the layers and the embedding elsewhere, both of which a runtime may do; else both
    as the scheme has them. The mean over a growing context is that of its two ends, which is exact for full attention
    and below the mean for sliding windows.
    """
    rows = program(model, precision, _ONE_CHIP)
    embedding = rows[rows["kind"] == GATHER]
    stored = weight_bytes(rows, model, _ONE_CHIP)
    first, last = (lower(model, precision, _ONE_CHIP, decode([context])).rows for context in (isl + 1, isl + osl))
    step = _weights(first)
    if generous:
        saved = _head_bytes(first) * max(0.0, 1.0 - stored_bits(precision.weights) / stored_bits("bf16"))
        table = 0.0 if model.tied_embeddings else model.embedding_parameters * stored_bits("bf16") / _BITS_PER_BYTE
        stored, step = stored - saved - table * bool(len(embedding)), step - saved
    prompt = lower(model, precision, _ONE_CHIP, prefill(1, isl)).rows
    head = (precision.weights, precision.activations) if generous else ("bf16", "bf16")
    ends = operations(first, head), operations(last, head)
    kv = 0.5 * (_kv(first) + _kv(last))
    return Demand(
        stored_bytes=stored,
        step_bytes=step,
        kv_bytes=kv,
        shared_kv_bytes=min(_kv(first), kv),
        request_kv_bytes=_kv(last),
        prompt_ops=operations(prompt, head),
        token_ops={key: 0.5 * (ops + ends[1][key]) for key, ops in ends[0].items()},
    )


def _weights(rows: np.ndarray) -> float:
    linear = rows[rows["kind"] == LINEAR]
    return float((linear["weight_bytes"] * linear["repeat"]).sum())


def streamed_bytes(rows: np.ndarray) -> float:
    """Bytes of weights, gathered rows, keys and values that the operators read."""
    read = rows["weight_bytes"] + rows["kv_read_bytes"]
    return float((read * rows["repeat"]).sum())


def _head_bytes(rows: np.ndarray) -> float:
    return float(rows[rows["op"] == LM_HEAD]["weight_bytes"].sum())


def _kv(rows: np.ndarray) -> float:
    attention = rows[rows["kind"] == ATTENTION]
    return float((attention["kv_read_bytes"] * attention["repeat"]).sum())


def operations(rows: np.ndarray, head: tuple[str, str] | None) -> dict[tuple[str, str], float]:
    """Operations of matrix products and attention by the types of weights and activations; head: its own, if given."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row["kind"] == LINEAR:
            own = dtypes.name(row["weight_dtype"]), dtypes.name(row["activation_dtype"])
            key = head if head is not None and row["op"] == LM_HEAD else own
        elif row["kind"] == ATTENTION:
            key = ATTENTION_OPS, ATTENTION_OPS
        else:
            continue
        found[key] = found.get(key, 0.0) + float(row["flops"] * row["repeat"])
    return found
