"""Lowering: a model under a plan and a precision becomes a program of operators; a step gives it its sizes.

The program of one rank has a segment for the embedding, one for each run of layers that repeats (four layers for a 3:1
sliding-window model, the first dense layers of a mixture of experts apart), and one for the head. `instantiate` fills
in a step; it is compiled, so that a run of decode steps never returns to Python.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from npusim.compilation import kernel
from npusim.hardware.machine import GROUP_STAGE
from npusim.inputs import remembered
from npusim.mapping.attention_rows import grouped_query, latent
from npusim.mapping.expert_shard import expert_shard
from npusim.mapping.grouped import touched_matrices
from npusim.mapping.mlp_rows import mixture, mlp
from npusim.mapping.optable import (
    ALL_GATHER,
    ATTENTION,
    COLLECTIVE,
    DECODE_ONLY,
    EMBED,
    GATHER,
    LINEAR,
    LM_HEAD,
    NORM,
    OP_DTYPE,
    PER_CONTEXT,
    PER_SEQUENCE,
    PER_TOKEN,
    PROMPT_ONLY,
    SAMPLE,
    SEND_RECV,
    SPLIT_COLUMNS,
    UNIT_NPU,
    UNIT_PIM,
    OpTable,
    account,
    attended_pairs,
    attended_tokens,
    phase_units,
)
from npusim.mapping.plan import Plan, Shard, shard
from npusim.mapping.rows import Rows
from npusim.mapping.stages import Stage, stages
from npusim.workload.model import Model
from npusim.workload.precision import Precision, resolve_precision
from npusim.workload.segments import Layer
from npusim.workload.step import Step


def program(model: Model, precision: Precision, plan: Plan) -> np.ndarray:
    """Rows of one rank without sizes of a step: array of OP_DTYPE. Embedding and head stay in 16 bits.

    Of several pipeline stages, the one that stores most.
    """
    return _program(model, precision, plan).copy()


@remembered
def _program(model: Model, precision: Precision, plan: Plan) -> np.ndarray:
    return max(stage_programs(model, precision, plan), key=_stored_bits)


@remembered
def stage_programs(model: Model, precision: Precision, plan: Plan) -> tuple[np.ndarray, ...]:
    """Rows of one rank of each pipeline stage that differs from those before it: arrays of OP_DTYPE, for reading."""
    return tuple(_stage_program(model, precision, plan, stage) for stage in dict.fromkeys(stages(model, plan)))


def _stage_program(model: Model, precision: Precision, plan: Plan, stage: Stage) -> np.ndarray:
    rows = Rows()
    if stage.first:
        rows.open_segment(1)
        rows.add(GATHER, EMBED, n=model.hidden, scales_with=PER_TOKEN)
    for run, repeats in stage.segments:
        rows.open_segment(repeats)
        for layer in run:
            _layer(rows, model, precision, plan, layer)
    rows.open_segment(1)
    if stage.last:
        _head(rows, model, shard(model, plan))
    if plan.pipeline_parallel > 1:
        rows.collective(SEND_RECV, model.hidden, 2, GROUP_STAGE)
    return rows.table()


def _stored_bits(rows: np.ndarray) -> float:
    """Bits of the weights of linear operators: what the heaviest stage has most of."""
    linear = rows[rows["kind"] == LINEAR]
    return float((linear["repeat"] * linear["stored"] * linear["n"] * linear["k"] * linear["weight_bits"]).sum())


def _layer(rows: Rows, model: Model, precision: Precision, plan: Plan, layer: Layer) -> None:
    part, dense = shard(model, plan), dense_precision(model, precision)
    rows.vector(NORM, model.hidden, 4 * model.hidden)
    if model.latent is None:
        grouped_query(rows, model, dense, part, layer.window)
    else:
        latent(rows, model.hidden, model.latent, dense, part.heads, layer.window)
    rows.all_reduce(model.hidden, part.ranks)
    rows.vector(NORM, model.hidden, 4 * model.hidden)
    if layer.routed and model.experts is not None:
        experts = expert_shard(model.experts, plan)
        mixture(rows, model.experts, model.hidden, dense, precision, experts)
        if experts.senders > 1:
            rows.all_gather(model.hidden, part.ranks)
            return
    else:
        mlp(rows, dense, model.hidden, part.intermediate)
    rows.all_reduce(model.hidden, part.ranks)


def dense_precision(model: Model, precision: Precision) -> Precision:
    """The scheme of all but the experts: 16 bits where the maker keeps the experts alone in its weight format."""
    layers = replace(resolve_precision("bf16", precision.kv), bits=precision.bits)
    return layers if precision.weights == model.experts_only else precision


def _head(rows: Rows, model: Model, part: Shard) -> None:
    rows.vector(NORM, model.hidden, 4 * model.hidden, scales_with=PER_SEQUENCE)
    rows.add(
        LINEAR,
        LM_HEAD,
        n=part.vocab,
        k=model.hidden,
        scales_with=PER_SEQUENCE,
        split=SPLIT_COLUMNS,
        units=UNIT_NPU | UNIT_PIM,
    )
    if part.ranks > 1:
        rows.add(COLLECTIVE, ALL_GATHER, n=model.vocab, ranks=part.ranks, scales_with=PER_SEQUENCE)
    rows.vector(SAMPLE, model.vocab, 2 * model.vocab, scales_with=PER_SEQUENCE)


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
    twice (decoding sequences and prompt chunks run in separate attention operators). Rows of a phase that the step does
    not have are left out.
    """
    live, prompt_tokens = 0.0, 0.0
    for sequence in range(len(query)):
        live += 1.0 if decoding[sequence] else 0.0
        prompt_tokens += 0.0 if decoding[sequence] else float(query[sequence])
    prompts = float(len(query)) - live
    position = np.full(len(template), -1, np.int64)
    count = 0
    for index in range(len(template)):
        source = template[index]
        # `position` maps rows of the template to `rows`; a row that is left out passes its input on.
        link = position[source.first_input] if source.first_input >= 0 else -1
        second = position[source.second_input] if source.second_input >= 0 else -1
        if source.kind == ATTENTION:
            for phase in range(2):
                rows[count] = source
                rows[count].first_input, rows[count].second_input = link, second
                if _attention_sizes(rows[count], query, context, decoding, phase == 0):
                    account(rows[count])
                    link = count
                    count += 1
        else:
            attended = _attended(source, query, context, decoding) if source.scales_with == PER_CONTEXT else 0.0
            units = phase_units(source, live, prompts, prompt_tokens, attended)
            if units > 0.0:
                rows[count] = source
                rows[count].first_input, rows[count].second_input = link, second
                rows[count].m = units * source.fan
                if source.matrices > 0.0:
                    rows[count].touched = touched_matrices(source, rows[count].m)
                account(rows[count])
                link = count
                count += 1
        position[index] = link
    return count


@kernel
def _attended(row, query, context, decoding):
    """Tokens that the prompt chunks attend."""
    total = 0.0
    for sequence in range(len(query)):
        if not decoding[sequence]:
            total += attended_tokens(float(query[sequence]), float(context[sequence]), row.window)
    return total


@kernel
def _attention_sizes(row, query, context, decoding, want_decoding):
    """Sizes of the attention operator over the decoding sequences or the prompt chunks; False when there are none."""
    row.decoding = 1 if want_decoding else 0
    if row.phase == (PROMPT_ONLY if want_decoding else DECODE_ONLY):
        return False
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
