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
from npusim.mapping.attention_rows import attend
from npusim.mapping.expert_shard import expert_shard
from npusim.mapping.grouped import touched_matrices
from npusim.mapping.mlp_rows import mixture, mlp
from npusim.mapping.optable import (
    ADD,
    ALL_GATHER,
    ATTENTION,
    COLLECTIVE,
    COMPRESS,
    DECODE_ONLY,
    EMBED,
    EXPAND,
    GATHER,
    JOIN,
    LINEAR,
    LM_HEAD,
    NORM,
    OP_DTYPE,
    PER_ANSWER,
    PER_CONTEXT,
    PER_SEQUENCE,
    PER_TOKEN,
    PROMPT_ONLY,
    SAMPLE,
    SEND_RECV,
    SPLIT_COLUMNS,
    SPLIT_NONE,
    UNIT_NPU,
    UNIT_PIM,
    OpTable,
    account,
    add_turns,
    attended_pairs,
    attended_tokens,
    phase_units,
)
from npusim.mapping.plan import Plan, share_of
from npusim.mapping.rows import Rows
from npusim.mapping.stages import Stage, stages
from npusim.workload.checkpoint import EXPERTS, INPUT, MLP, OUTPUT, SHARED
from npusim.workload.feeds import Experts
from npusim.workload.layers import Layer
from npusim.workload.model import Model
from npusim.workload.precision import SCHEMES, Precision, resolve_precision
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
        if model.front:
            rows.linear(EXPAND, resolve_precision("bf16", "bf16"), model.front, model.hidden, SPLIT_NONE)
        if model.joined > 1:
            rows.linear(JOIN, precision, model.hidden, model.joined * model.hidden, SPLIT_NONE)
    for run, repeats in stage.segments:
        rows.open_segment(repeats)
        for layer in run:
            _layer(rows, model, precision, plan, layer)
    rows.open_segment(1)
    if stage.last:
        _head(rows, model, plan.tensor_parallel)
    if plan.pipeline_parallel > 1:
        rows.collective(SEND_RECV, model.hidden, 2, GROUP_STAGE)
    return rows.table()


def _stored_bits(rows: np.ndarray) -> float:
    """Bits of the weights of linear operators: what the heaviest stage has most of."""
    linear = rows[rows["kind"] == LINEAR]
    return float((linear["repeat"] * linear["stored"] * linear["n"] * linear["k"] * linear["weight_bits"]).sum())


def _layer(rows: Rows, model: Model, precision: Precision, plan: Plan, layer: Layer) -> None:
    """The parts of a layer one after the other; where they read the same input, their sum goes over the links once.

    Runtimes run parts that read the same input one after the other, on one stream.
    """
    ranks, hidden = plan.tensor_parallel, model.hidden
    if layer.parallel and layer.mixer is not None:
        _norms(rows, model, layer, layer.norms)
        _mix(rows, model, precision, ranks, layer)
        mixed = rows.last
        _feed(rows, model, precision, plan, layer)
        rows.vector(ADD, hidden, 3 * hidden, second=mixed)
        rows.all_reduce(hidden, ranks)
        return
    if layer.mixer is not None:
        _norms(rows, model, layer, min(layer.norms, 1))
        _mix(rows, model, precision, ranks, layer)
        rows.all_reduce(hidden, ranks)
        _result_norms(rows, hidden, layer.further_norms // 2)
    if layer.feed is not None:
        _norms(rows, model, layer, layer.norms - (layer.mixer is not None))
        if _feed(rows, model, precision, plan, layer):
            rows.all_reduce(hidden, ranks)
        _result_norms(rows, hidden, (layer.further_norms + 1) // 2)
    if layer.side:
        beside = part_precision(model, layer, MLP, precision)
        rows.linear(COMPRESS, beside, layer.side, hidden, SPLIT_NONE)
        rows.linear(EXPAND, beside, hidden, layer.side, SPLIT_NONE)


def _mix(rows: Rows, model: Model, precision: Precision, ranks: int, layer: Layer) -> None:
    """The mixers of a layer, whose results are summed."""
    for number, mixer in enumerate(layer.mixers):
        before = rows.last
        into, out = (part_precision(model, layer, role, precision) for role in (INPUT, OUTPUT))
        attend(rows, mixer, model.hidden, into, out, ranks)
        if number:
            rows.vector(ADD, model.hidden, 3 * model.hidden, second=before)


def _norms(rows: Rows, model: Model, layer: Layer, count: int) -> None:
    """Norms ahead of a part, the first of them with the sum of the part before.

    Residual streams are weighed by weights that are made of all of them, into the part and out of it
    (hyper-connections, arXiv 2409.19606).
    """
    hidden = model.hidden
    if layer.streams:
        width = layer.streams * hidden
        rows.linear(COMPRESS, resolve_precision("bf16", "bf16"), layer.mixed_streams, width, SPLIT_NONE)
        rows.vector(ADD, width * (1 + layer.streams), 2 * width + 2 * hidden)
    for number in range(count):
        rows.vector(NORM, hidden, (2 if number else 4) * hidden)


def _result_norms(rows: Rows, hidden: int, count: int) -> None:
    """Norms of a part's result."""
    for _ in range(count):
        rows.vector(NORM, hidden, 2 * hidden)


def _feed(rows: Rows, model: Model, precision: Precision, plan: Plan, layer: Layer) -> bool:
    """The MLP or the experts; whether the sum over the chips of a replica is still to be done."""
    if isinstance(layer.feed, Experts):
        part = expert_shard(layer.feed, plan)
        shared, routed = (part_precision(model, layer, role, precision) for role in (SHARED, EXPERTS))
        mixture(rows, layer.feed, model.hidden, shared, routed, part)
        if part.senders > 1:
            rows.all_gather(model.hidden, plan.tensor_parallel)
            return False
    elif layer.feed is not None:
        mlp(
            rows,
            part_precision(model, layer, MLP, precision),
            model.hidden,
            share_of(layer.feed.width, plan.tensor_parallel),
            layer.feed.inputs,
        )
    return True


def part_precision(model: Model, layer: Layer, role: str, precision: Precision) -> Precision:
    """The scheme of a part of a layer: its own where the model runs in the formats of its checkpoint.

    Where the chip keeps activations in 16 bits, it does so in all parts.
    """
    own = model.checkpoint
    other = dict(layer.formats).get(role) if own is not None and own.scheme == precision.name else None
    if other is None:
        return precision
    scheme = replace(resolve_precision(other, precision.kv), bits=precision.bits)
    widened = precision.activations != SCHEMES[precision.name][1]
    return replace(scheme, activations=precision.activations) if widened else scheme


def _head(rows: Rows, model: Model, ranks: int) -> None:
    wanted = PER_ANSWER if model.drafts else PER_SEQUENCE
    rows.vector(NORM, model.hidden, 4 * model.hidden, scales_with=wanted)
    rows.add(
        LINEAR,
        LM_HEAD,
        n=share_of(model.vocab, ranks),
        k=model.hidden,
        scales_with=wanted,
        split=SPLIT_COLUMNS,
        units=UNIT_NPU | UNIT_PIM,
        stored=0.0 if model.borrows_head else 1.0,
    )
    if ranks > 1:
        rows.add(COLLECTIVE, ALL_GATHER, n=model.vocab, ranks=ranks, scales_with=wanted)
    rows.vector(SAMPLE, model.vocab, 2 * model.vocab, scales_with=wanted)


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
    live, decoded, prompts, prompt_tokens = 0.0, 0.0, 0.0, 0.0
    for sequence in range(len(query)):
        if decoding[sequence]:
            live += 1.0
            decoded += float(query[sequence])
        else:
            prompts += 1.0
            prompt_tokens += float(query[sequence])
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
            units = phase_units(source, live, decoded, prompts, prompt_tokens, attended)
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
def grow(row, longest, total):
    """Give an attention row of decoding sequences, one new token each, other contexts, of which `longest` and `total`
    suffice; False where they do not. Contexts run as they are, neither in compiled sizes nor in groups of them."""
    if row.state > 0.0:
        return True
    if row.window != 0.0 or row.stride > 1.0:
        return False
    # Whole numbers: their sums are the same in any order.
    row.kv, row.kv_tokens, row.pairs = float(longest), float(total), float(total)
    account(row)
    return True


@kernel
def grow_each(row, query, context, decoding):
    """As `grow`, from the context of each sequence."""
    tokens = row.m
    _attention_sizes(row, query, context, decoding, True)
    row.m = tokens
    account(row)


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
    row.m = row.batch = row.query = row.kv = row.kv_tokens = row.pairs = row.turns = 0.0
    stride = max(1.0, row.stride)
    for sequence in range(len(query)):
        if decoding[sequence] != want_decoding:
            continue
        new, total = float(query[sequence]), float(context[sequence])
        if row.state > 0.0:
            add_turns(row, new)
            continue
        touched = attended_tokens(new, total, row.window) / stride
        row.batch += 1.0
        row.m += new
        row.query = max(row.query, new)
        row.kv = max(row.kv, touched)
        row.kv_tokens += touched
        row.pairs += attended_pairs(new, total, row.window) / stride
    return row.batch > 0.0
