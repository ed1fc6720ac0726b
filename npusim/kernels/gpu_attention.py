"""Time of fused attention on a GPU: thread blocks of query rows walk the context (Dao, arXiv 2307.08691)."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.gpu_linear import efficiency_of, sm_rate
from npusim.mapping.optable import pair_elements


@kernel
def gpu_attention_times(row, machine):
    """(contraction seconds, fixed seconds, MACs done); the softmax overlaps the contractions, KV is costed apart.

    Decoding packs the query heads of a group into one block's rows; a prompt takes one query head a block. Few blocks
    split the context. The work is shared by all SMs, but no block ends before its own context is walked; blocks of a
    causal prompt differ in length, and the last ones lag behind by a part of the longest.
    """
    library = row.library
    decoding = row.query == 1.0
    units = row.batch * (row.kv_heads if decoding else row.heads)
    lines = row.heads / row.kv_heads if decoding else row.m / row.batch
    places = machine.gpu_sms * machine.gpu_attention_blocks_per_sm[library]
    tile, splits = _tile_and_splits(units, lines, row.kv, places, library, machine)
    blocks = units * math.ceil(lines / tile) * splits
    rate = _mac_rate(row.activation_dtype, library, machine)
    macs = pair_elements(row)
    if decoding:
        work, lag = macs * units * math.ceil(lines / tile) * tile * row.kv_tokens / row.batch, 0.0
    else:
        work = macs * units * _scores(row, lines, tile)
        sharing = min(machine.gpu_attention_blocks_per_sm[library], max(1.0, blocks / machine.gpu_sms))
        lag = macs * tile * row.query * _causality(row, lines) / splits * machine.gpu_sms * sharing / rate
    walked = min(row.kv, row.window + tile) if row.window > 0.0 else row.kv
    longest = macs * tile * walked / splits * machine.gpu_sms / rate
    contraction = max(work / rate, longest) + machine.gpu_attention_imbalance[library] * lag
    fixed = machine.gpu_attention_launch[library]
    fixed += machine.gpu_attention_block[library] * max(1.0, blocks / places)
    if splits > 1.0:
        fixed += machine.gpu_attention_split_merge[library] * splits
    return contraction, fixed, work


@kernel
def _tile_and_splits(units, lines, kv, places, library, machine):
    """Query rows of a block and pieces of the context: split where blocks leave places empty."""
    tile = machine.gpu_attention_tile_rows[library]
    split_tile = machine.gpu_attention_split_tile_rows[library]
    small_blocks = units * math.ceil(lines / split_tile)
    if small_blocks >= machine.gpu_attention_split_fill[library] * places:
        return tile, 1.0
    pieces = math.ceil(kv / machine.gpu_attention_tile_context[library])
    return split_tile, max(1.0, min(math.floor(places / small_blocks), pieces))


@kernel
def _causality(row, lines):
    """1 where attention is causal (prompts of unequal length are), 0 where new tokens see the whole context."""
    if row.query > lines:
        return 1.0
    masked = row.batch * lines * (lines - 1.0) / 2.0
    return min(1.0, max(0.0, (lines * row.kv_tokens - row.pairs) / max(masked, 1.0)))


@kernel
def _scores(row, lines, tile):
    """Scores that the blocks of one head compute: whole tiles, those beyond the diagonal or the window skipped.

    Prompts of unequal length: the useful scores, and half a tile beyond the diagonal for every new token.
    """
    if row.query > lines:
        return (row.pairs + row.m * (tile - 1.0) / 2.0) / row.batch
    before = row.kv_tokens / row.batch - lines
    causality = _causality(row, lines)
    reach = 0.0
    for block in range(math.ceil(lines / tile)):
        end = min((block + 1.0) * tile, lines)
        seen = before + causality * end + (1.0 - causality) * lines
        reach += min(seen, row.window + tile) if row.window > 0.0 else seen
    return tile * reach


@kernel
def _mac_rate(dtype, library, machine):
    """Multiply-accumulates per second of all SMs in this library's main loop."""
    efficiency = efficiency_of(
        dtype,
        machine.gpu_attention_efficiency_bf16[library],
        machine.gpu_attention_efficiency_fp8[library],
        machine.gpu_attention_efficiency_int8[library],
    )
    return machine.gpu_sms * sm_rate(dtype, machine) * machine.gpu_clock * efficiency
