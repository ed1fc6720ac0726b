"""Lowering: a model under a plan and a precision becomes a program of operators; a step gives it its sizes.

The program of one rank has three segments: the embedding, the shortest run of layers that repeats (four layers for a
3:1 sliding-window model), and the head. `instantiate` fills in a step; it is compiled, so that a run of decode steps
never returns to Python.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from npusim import dtypes
from npusim.compilation import kernel
from npusim.mapping.optable import (
    ALL_GATHER,
    ALL_REDUCE,
    ATTEND,
    ATTENTION,
    CAST,
    COLLECTIVE,
    DOWN,
    EMBED,
    GATE_UP,
    GATHER,
    LINEAR,
    LM_HEAD,
    NORM,
    OP_DTYPE,
    OUT,
    PER_SEQUENCE,
    PER_TOKEN,
    QKV,
    ROPE,
    SAMPLE,
    SILU,
    SPLIT_COLUMNS,
    SPLIT_NONE,
    SPLIT_ROWS,
    UNIT_NPU,
    UNIT_PIM,
    VECTOR,
    OpTable,
    account,
    attended_pairs,
    attended_tokens,
)
from npusim.mapping.plan import Plan, Shard, shard
from npusim.workload.formats import kv_bits, stored_bits
from npusim.workload.model import Model
from npusim.workload.precision import Precision
from npusim.workload.step import Step

_HALF = 16.0


class _Program:
    """Rows in the making; every row waits for the one before it."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.segment = 0
        self.repeat = 1
        self.first = True

    def open_segment(self, repeat: int) -> None:
        self.segment += bool(self.rows)
        self.repeat = repeat
        self.first = True

    def add(self, kind: int, op: int, **fields: float) -> None:
        row = np.zeros(1, OP_DTYPE)
        row["kind"], row["op"] = kind, op
        row["segment"], row["repeat"] = self.segment, self.repeat
        row["first_input"] = -1 if self.first else len(self.rows) - 1
        row["second_input"] = -1
        row["units"] = UNIT_NPU
        row["weight_dtype"] = row["activation_dtype"] = dtypes.BF16
        row["weight_bits"] = row["activation_bits"] = _HALF
        for name, value in fields.items():
            row[name] = value
        self.first = False
        self.rows.append(row)

    def table(self) -> np.ndarray:
        rows = np.zeros(len(self.rows), OP_DTYPE)
        for place, row in enumerate(self.rows):
            rows[place] = row[0]
        return rows


def program(model: Model, precision: Precision, plan: Plan) -> np.ndarray:
    """Rows of one rank without sizes of a step: array of OP_DTYPE. Embedding and head stay in 16 bits."""
    return _program(model, precision, plan).copy()


@cache
def _program(model: Model, precision: Precision, plan: Plan) -> np.ndarray:
    part = shard(model, plan)
    build = _Program()
    build.open_segment(1)
    build.add(GATHER, EMBED, n=model.hidden, scales_with=PER_TOKEN)
    windows, repeat = model.layer_pattern()
    build.open_segment(repeat)
    for window in windows:
        _layer(build, model, precision, part, window)
    build.open_segment(1)
    _head(build, model, part)
    return build.table()


def _layer(build: _Program, model: Model, precision: Precision, part: Shard, window: int) -> None:
    query_width, kv_width = part.heads * model.head_dim, part.kv_heads * model.head_dim
    rope_elements = query_width + kv_width
    _vector(build, NORM, model.hidden, 4 * model.hidden)
    _linear(build, QKV, precision, query_width + 2 * kv_width, model.hidden, SPLIT_COLUMNS)
    _vector(build, ROPE, rope_elements * (2 if model.qk_norm else 1), 2 * rope_elements)
    build.add(
        ATTENTION,
        ATTEND,
        scales_with=PER_TOKEN,
        units=UNIT_NPU | UNIT_PIM,
        heads=part.heads,
        kv_heads=part.kv_heads,
        head_dim=model.head_dim,
        window=window,
        kv_bits=kv_bits(precision.kv),
    )
    _linear(build, OUT, precision, model.hidden, query_width, SPLIT_ROWS)
    _all_reduce(build, model.hidden, part.ranks)
    _vector(build, NORM, model.hidden, 4 * model.hidden)
    _linear(build, GATE_UP, precision, 2 * part.intermediate, model.hidden, SPLIT_COLUMNS)
    _vector(build, SILU, part.intermediate, 3 * part.intermediate)
    _linear(build, DOWN, precision, model.hidden, part.intermediate, SPLIT_ROWS)
    _all_reduce(build, model.hidden, part.ranks)


def _head(build: _Program, model: Model, part: Shard) -> None:
    build.add(VECTOR, NORM, n=model.hidden, elements=4 * model.hidden, scales_with=PER_SEQUENCE)
    build.add(
        LINEAR,
        LM_HEAD,
        n=part.vocab,
        k=model.hidden,
        scales_with=PER_SEQUENCE,
        split=SPLIT_COLUMNS,
        units=UNIT_NPU | UNIT_PIM,
    )
    if part.ranks > 1:
        build.add(COLLECTIVE, ALL_GATHER, n=model.vocab, ranks=part.ranks, scales_with=PER_SEQUENCE)
    build.add(VECTOR, SAMPLE, n=model.vocab, elements=2 * model.vocab, scales_with=PER_SEQUENCE)


def _linear(build: _Program, op: int, precision: Precision, n: int, k: int, split: int) -> None:
    activation_bits = stored_bits(precision.activations)
    if activation_bits < _HALF:
        _vector(build, CAST, k, 1.5 * k)
    build.add(
        LINEAR,
        op,
        n=n,
        k=k,
        scales_with=PER_TOKEN,
        split=split,
        units=UNIT_NPU | UNIT_PIM,
        weight_dtype=dtypes.code(precision.weights),
        activation_dtype=dtypes.code(precision.activations),
        weight_bits=stored_bits(precision.weights),
        activation_bits=activation_bits,
    )


def _vector(build: _Program, op: int, n: int, elements: float) -> None:
    build.add(VECTOR, op, n=n, elements=elements, scales_with=PER_TOKEN, split=SPLIT_NONE)


def _all_reduce(build: _Program, n: int, ranks: int) -> None:
    if ranks > 1:
        build.add(COLLECTIVE, ALL_REDUCE, n=n, ranks=ranks, scales_with=PER_TOKEN)


def lower(model: Model, precision: Precision, plan: Plan, step: Step) -> OpTable:
    """The operators of `step` on one rank, with exact (unpadded) sizes."""
    template = program(model, precision, plan)
    rows = np.zeros(2 * len(template), OP_DTYPE)
    count = instantiate(template, step.query, step.context, step.decoding, rows)
    return OpTable(rows[:count], step)


@kernel
def instantiate(template, query, context, decoding, rows):
    """Write the program `template` with the sizes of a step into `rows`; returns how many rows there are.

    query, context: int64 (sequences,); decoding: bool (sequences,); rows: OP_DTYPE with room for every attention row
    twice (decoding sequences and prompt chunks run in separate attention operators).
    """
    tokens = float(query.sum())
    sequences = float(len(query))
    place = np.full(len(template), -1, np.int64)
    count = 0
    for index in range(len(template)):
        source = template[index]
        before = source.first_input
        link = place[before] if before >= 0 else -1
        second = place[source.second_input] if source.second_input >= 0 else -1
        if source.kind == ATTENTION:
            for phase in range(2):
                rows[count] = source
                rows[count].first_input, rows[count].second_input = link, second
                if _attention_sizes(rows[count], query, context, decoding, phase == 0):
                    account(rows[count])
                    link = count
                    count += 1
        else:
            rows[count] = source
            rows[count].first_input, rows[count].second_input = link, second
            rows[count].m = tokens if source.scales_with == PER_TOKEN else sequences
            account(rows[count])
            link = count
            count += 1
        place[index] = link
    return count


@kernel
def _attention_sizes(row, query, context, decoding, want_decoding):
    """Sizes of the attention operator over the decoding sequences or the prompt chunks; False when there are none."""
    row.decoding = 1 if want_decoding else 0
    row.m = row.batch = row.query = row.kv = row.kv_tokens = row.pairs = 0.0
    for sequence in range(len(query)):
        if decoding[sequence] != want_decoding:
            continue
        new, total = float(query[sequence]), float(context[sequence])
        touched = attended_tokens(new, total, row.window)
        row.batch += 1.0
        row.m += new
        row.query = max(row.query, new)
        row.kv = max(row.kv, touched)
        row.kv_tokens += touched
        row.pairs += attended_pairs(new, total, row.window)
    return row.batch > 0.0
