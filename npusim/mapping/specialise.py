"""How a chip under a runtime executes an OpTable: padded shapes, attention executions, fetch expansion.

Both engines read the output. Padding rules: a decode batch and a prompt chunk run in the next compiled size;
attention runs ragged, or uniform over the longest context, or as one execution per compiled context bucket
(furiosa-llm: swsok/heteropilot npu_exec_attention_groups.md). Where the host samples, the chip does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.compilation import kernel
from npusim.dtypes import BF16
from npusim.hardware.runtime_record import (
    ATTENTION_GROUPED,
    ATTENTION_UNIFORM,
    DECODE,
    PREFILL,
    SHAPES_BUCKETS,
    SHAPES_SLOTS,
)
from npusim.hardware.units import rows_of_other_ranks
from npusim.mapping.optable import (
    ATTENTION,
    CAST,
    EXPERT_DOWN,
    EXPERT_UP,
    LINEAR,
    LM_HEAD,
    NORM,
    OP_DTYPE,
    PER_CONTEXT,
    PROMPT_ONLY,
    SAMPLE,
    SILU,
    UNIT_NPU,
    UNIT_PIM,
    OpTable,
    account,
    add_turns,
    attended_tokens,
    most_attended,
    phase_units,
)

_BITS_PER_BYTE = 8.0
_ROUNDING = 1e-6
"""Of the rows of a token, a sum of chances."""


def specialise(table: OpTable, machine: Any, runtime: Any) -> OpTable:
    """`table` as this machine runs it under this runtime (records of a `machine_dtype` and RUNTIME_DTYPE)."""
    step = table.step
    rows = np.zeros(room_for(table.rows, len(step.query)), OP_DTYPE)
    count = specialise_rows(table.rows, step.query, step.context, step.decoding, step.slots, machine, runtime, rows)
    return OpTable(rows[:count], step)


def room_for(rows: np.ndarray, sequences: int) -> int:
    """Rows that `specialise_rows` can make of `rows`: each sequence may need an attention execution of its own."""
    return len(rows) + int((rows["kind"] == ATTENTION).sum()) * (1 + sequences)


@kernel
def next_size(value, sizes, count):
    """The smallest of the rising `sizes[:count]` that holds `value`; beyond them, the next multiple of the largest."""
    for index in range(count):
        if value <= sizes[index]:
            return float(sizes[index])
    largest = sizes[count - 1]
    return float(largest * np.ceil(value / largest))


@kernel
def padded_batch(batch, slots, runtime):
    """Sequences that a decode step over `batch` live ones computes."""
    if batch == 0:
        return 0.0
    if runtime.batch_shapes == SHAPES_BUCKETS:
        return next_size(batch, runtime.batch_sizes, runtime.batch_count)
    if runtime.batch_shapes == SHAPES_SLOTS:
        return float(max(batch, slots))
    return float(batch)


@kernel
def padded_chunk(tokens, runtime):
    """Tokens that a prompt chunk of `tokens` computes."""
    if runtime.chunk_shapes == SHAPES_BUCKETS:
        return next_size(tokens, runtime.chunk_sizes, runtime.chunk_count)
    return float(tokens)


@kernel
def padded_tokens(tokens, runtime):
    """Tokens of a prompt chunk of `tokens` that products and vector operators compute."""
    padded = padded_chunk(tokens, runtime)
    if runtime.tokenwise_count > 0:
        return next_size(padded, runtime.tokenwise_sizes, runtime.tokenwise_count)
    return padded


@kernel
def step_path(batch, prefilling, runtime):
    """Index of the path (compiled graph) that serves a step: the smallest that holds its batch, else the largest."""
    phase = PREFILL if prefilling else DECODE
    # Paths are in rising order of their largest batch.
    chosen = -1
    for index in range(runtime.path_count):
        if runtime.path_serves[index] == phase:
            chosen = index
            if batch <= runtime.paths_max_batch[index]:
                break
    return chosen


@kernel
def specialise_rows(rows, query, context, decoding, slots, machine, runtime, out):
    """Write the specialised `rows` into `out` and return their number; shapes as for `instantiate`."""
    live, chunk_tokens, chunks, width = 0, 0.0, 0, 1.0
    for sequence in range(len(query)):
        if decoding[sequence]:
            live += 1
            width = max(width, float(query[sequence]))
        else:
            chunks += 1
            chunk_tokens += padded_tokens(query[sequence], runtime)
    batch = padded_batch(live, slots, runtime)
    position = np.full(len(rows), -1, np.int64)
    count = 0
    for index in range(len(rows)):
        source = rows[index]
        # `position` maps rows of the program to rows of `out`; a row that is left out passes its input on.
        link = position[source.first_input] if source.first_input >= 0 else -1
        second = position[source.second_input] if source.second_input >= 0 else -1
        if source.kind == ATTENTION:
            start = count
            count = _attention(source, query, context, decoding, batch, width, runtime, out, count)
            for row in range(start, count):
                out[row].library = _attention_library(source, runtime)
                out[row].first_input, out[row].second_input = link, second
                if source.decoding == 1 and runtime.compiler_whole_heads > 0.0:
                    out[row].whole = runtime.compiler_whole_heads
                account(out[row])
                link = row
        elif not (source.op == SAMPLE and runtime.host_sampling) and not _is_fused_cast(rows, index, runtime):
            out[count] = source
            out[count].first_input, out[count].second_input = link, second
            out[count].library = _library(source, runtime)
            attended = 0.0
            if source.scales_with == PER_CONTEXT:
                attended = _padded_contexts(source, query, context, decoding, runtime)
            if source.op in (EXPERT_UP, EXPERT_DOWN) and runtime.experts_when_compiled:
                _fix_experts(out[count])
            out[count].m = source.fan * phase_units(source, batch, batch * width, float(chunks), chunk_tokens, attended)
            if source.kind == LINEAR:
                _expand_operands(out[count], machine)
            elif source.spread > 1.0:
                out[count].m *= 1.0 + rows_of_other_ranks(source, machine, runtime)
            account(out[count])
            link = count
            count += 1
        position[index] = link
    for index in range(count):
        out[index].device = _device(out[index], runtime)
    return count


@kernel
def _is_fused_cast(rows, index, runtime):
    """Whether a row is a type conversion that the norm or activation before it does (Inductor in vLLM)."""
    if not runtime.casts_fused or rows[index].op != CAST or rows[index].first_input < 0:
        return False
    return rows[rows[index].first_input].op in (NORM, SILU)


@kernel
def _attention_library(row, runtime):
    """Index of the kernel library that runs a row of attention."""
    if row.latent > 0.0:
        return latent_library(row, runtime)
    return runtime.attention_fp8_library if row.kv_bits < 2.0 * _BITS_PER_BYTE else runtime.attention_library


@kernel
def _fix_experts(row):
    """Matrices that a graph runs that was compiled without knowing which experts tokens share.

    It has as many as may be needed: one for each row, or all of them where more rows come than there are.
    Qwen3 30B-A3B takes 9.6, 14, 21 and 45 ms for its experts with 2, 4, 8 and 16 users, whose tokens choose 16 to 128
    (not the 15 to 82 different ones), and 91 to 100 ms with 32 to 128 (SOTA-PNU/RNGD-proj REPORT.md, less the rest).
    """
    # The rounding keeps a sum of chances such as 8.0000001 from asking for a ninth matrix.
    needed = np.ceil(row.m - _ROUNDING)
    row.paired = 1.0 if needed <= row.matrices else 0.0
    row.touched = min(needed, row.matrices)


@kernel
def latent_library(row, runtime):
    """Index of the kernel library for a row of latent attention, of decoding or of a prompt."""
    return runtime.latent_prompt_library if row.phase == PROMPT_ONLY else runtime.latent_library


@kernel
def _device(row, runtime):
    """The units that may run a row under the runtime's offload policy; 0 where only the NPU may.

    The faster of them is chosen when the row is costed. PIM units run products with one whole matrix, and attention of
    decoding sequences over cached keys and values.
    """
    if row.units & UNIT_PIM == 0:
        return 0
    if row.kind == LINEAR and row.matrices == 0.0:
        allowed = runtime.offload_linear and (row.op != LM_HEAD or runtime.offload_head > 0.0)
    else:
        plain = row.kind == ATTENTION and row.decoding == 1 and row.latent == 0.0 and row.query <= 1.0
        allowed = plain and runtime.offload_attention
    return UNIT_NPU | UNIT_PIM if allowed else 0


@kernel
def _library(row, runtime):
    """Index of the kernel library that runs a row other than attention."""
    if row.kind != LINEAR:
        return runtime.vector_library
    if row.op in (EXPERT_UP, EXPERT_DOWN):
        return runtime.grouped_library
    return runtime.linear_fp8_library if row.activation_bits < 2.0 * _BITS_PER_BYTE else runtime.linear_library


@kernel
def _padded_before(query, context, runtime):
    """Tokens before a prompt chunk, padded to the smallest compiled chunk."""
    if runtime.chunk_shapes != SHAPES_BUCKETS:
        return float(context - query)
    granule = float(runtime.chunk_sizes[0])
    return granule * np.ceil((context - query) / granule)


@kernel
def _padded_contexts(row, query, context, decoding, runtime):
    """Tokens that the prompt chunks attend as they are computed."""
    total = 0.0
    for sequence in range(len(query)):
        if not decoding[sequence]:
            new = padded_chunk(query[sequence], runtime)
            before = _padded_before(query[sequence], context[sequence], runtime)
            total += attended_tokens(new, before + new, row.window)
    return total


@kernel
def _expand_operands(row, machine):
    """The type that the MAC array multiplies: native, or what stored weights are expanded to at fetch."""
    multiplied = machine.multiplies[row.weight_dtype, row.activation_dtype]
    row.activation_dtype = multiplied if multiplied >= 0 else BF16


@kernel
def _attention(source, query, context, decoding, batch, width, runtime, out, count):
    """Append the executions of one attention operator to `out` at `count`; returns the new count.

    width: new tokens of a decoding sequence.
    """
    if source.state > 0.0:
        return _scan(source, query, decoding, batch, width, runtime, out, count)
    if source.decoding == 0:
        return _prompt_attention(source, query, context, decoding, runtime, out, count)
    if runtime.attention_shapes == ATTENTION_GROUPED:
        return _grouped_attention(source, context, decoding, width, runtime, out, count)
    out[count] = source
    row = out[count]
    if runtime.attention_shapes == ATTENTION_UNIFORM:
        longest = next_size(_longest(context, decoding), runtime.contexts, 1)
        reach = most_attended(width, longest, source.window)
        row.batch, row.m = batch, batch * width
        row.kv = reach = reach / max(1.0, source.stride)
        row.kv_tokens, row.pairs = batch * reach, batch * width * reach
    else:
        row.m = max(row.m, batch * width)
        row.common = runtime.kv_common if source.window == 0.0 else 0.0
    return count + 1


@kernel
def _scan(source, query, decoding, batch, width, runtime, out, count):
    """One execution over all sequences, whose states do not grow: padded batches and chunks count as whole ones."""
    out[count] = source
    row = out[count]
    row.m = row.batch = row.query = row.kv = row.kv_tokens = row.pairs = row.turns = 0.0
    if source.decoding == 1:
        for _ in range(int(batch)):
            add_turns(row, width)
    else:
        for sequence in range(len(query)):
            if not decoding[sequence]:
                add_turns(row, padded_chunk(query[sequence], runtime))
    return count + 1


@kernel
def _longest(context, decoding):
    longest = 0.0
    for sequence in range(len(context)):
        if decoding[sequence]:
            longest = max(longest, float(context[sequence]))
    return longest


@kernel
def _grouped_attention(source, context, decoding, width, runtime, out, count):
    """One execution per compiled context that holds a sequence; beyond the largest, per multiple of it."""
    longest = _longest(context, decoding)
    lower, bucket = 0.0, 0
    while lower < longest:
        upper = float(runtime.contexts[bucket]) if bucket < runtime.context_count else lower + largest_context(runtime)
        members = 0
        for sequence in range(len(context)):
            if decoding[sequence] and lower < context[sequence] <= upper:
                members += 1
        if members > 0:
            out[count] = source
            row = out[count]
            reach = most_attended(width, upper, source.window)
            row.batch = padded_batch(members, members, runtime)
            row.m = row.batch * width
            row.kv = reach = reach / max(1.0, source.stride)
            row.kv_tokens, row.pairs = row.batch * reach, row.m * reach
            count += 1
        lower = upper
        bucket += 1
    return count


@kernel
def largest_context(runtime):
    """The largest compiled attention context, tokens."""
    return float(runtime.contexts[runtime.context_count - 1])


@kernel
def _prompt_attention(source, query, context, decoding, runtime, out, count):
    if runtime.chunk_shapes != SHAPES_BUCKETS:
        out[count] = source
        return count + 1
    for sequence in range(len(query)):
        if decoding[sequence]:
            continue
        new = padded_chunk(query[sequence], runtime)
        before = _padded_before(query[sequence], context[sequence], runtime)
        total = before + new
        out[count] = source
        row = out[count]
        reach = most_attended(new, total, source.window) / max(1.0, source.stride)
        row.batch, row.m, row.query, row.kv, row.kv_tokens = 1.0, new, new, reach, reach
        row.pairs = new * reach
        count += 1
    return count
