"""Time of fused attention on a GPU: thread blocks of query rows walk the context (Dao, arXiv 2307.08691)."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.rates import given
from npusim.mapping.optable import pair_elements


@kernel
def attention_times(row, machine):
    """(contraction seconds, fixed seconds, MACs done); KV is costed apart.

    A block's rows are those of one query head, or of as many of a group's as it packs: all of them when decoding. Few
    blocks split the context. All SMs share the work, but no block ends before it has read its own context; blocks of a
    causal prompt differ in length, and the last ones lag behind by a fraction of the longest.
    """
    library = row.library
    packed = _packed_heads(row, machine)
    units = row.batch * row.heads / packed
    lines = packed * row.m / row.batch
    slots = machine.gpu_sms * machine.gpu_attention_blocks_per_sm[library]
    tile, splits = _tile_and_splits(units, lines, row.kv, slots, library, machine)
    blocks = units * math.ceil(lines / tile) * splits
    score_time = _score_time(row, library, machine)
    scores = units * _scores(row, packed, tile, machine)
    # In scores of all SMs: the longest block has one SM to itself.
    longest = tile * _farthest(row, packed, tile, machine) / splits * machine.gpu_sms
    contraction = max(scores, longest) * score_time
    if row.query > 1.0:
        sharing = min(machine.gpu_attention_blocks_per_sm[library], max(1.0, blocks / machine.gpu_sms))
        last = tile * row.query * _causality(row) / splits * machine.gpu_sms * sharing
        contraction += machine.gpu_attention_imbalance[library] * last * score_time
    block = machine.gpu_attention_block[library]
    block += row.head_dim * given(machine.gpu_attention_block_element[library], 0.0)
    fixed = machine.gpu_attention_launch[library] + block * max(1.0, blocks / slots)
    fixed += row.batch * given(machine.gpu_attention_sequence[library], 0.0)
    if splits > 1.0:
        fixed += given(machine.gpu_attention_split_launch[library], 0.0)
        fixed += machine.gpu_attention_split_merge[library] * splits
    return contraction, fixed, pair_elements(row) * scores


@kernel
def attention_waves(row, machine):
    """Waves of blocks that walk the context."""
    library, packed = row.library, _packed_heads(row, machine)
    units, lines = row.batch * row.heads / packed, packed * row.m / row.batch
    slots = machine.gpu_sms * machine.gpu_attention_blocks_per_sm[library]
    tile, splits = _tile_and_splits(units, lines, row.kv, slots, library, machine)
    return math.ceil(units * math.ceil(lines / tile) * splits / slots)


@kernel
def _packed_heads(row, machine):
    """Query heads of one key-value head whose rows one block takes together."""
    group = row.heads / row.kv_heads
    if row.query == 1.0:
        return group
    return min(group, given(machine.gpu_attention_prompt_heads[row.library], 1.0))


@kernel
def _tile_and_splits(units, lines, kv, slots, library, machine):
    """Query rows of a block and pieces of the context, which is split where blocks leave slots empty."""
    tile = machine.gpu_attention_tile_rows[library]
    split_tile = machine.gpu_attention_split_tile_rows[library]
    small_blocks = units * math.ceil(lines / split_tile)
    if small_blocks >= machine.gpu_attention_split_fill[library] * slots:
        return tile, 1.0
    pieces = math.ceil(kv / machine.gpu_attention_tile_context[library])
    return split_tile, max(1.0, min(math.floor(slots / small_blocks), pieces))


@kernel
def _causality(row):
    """1 where attention is causal (prompts of unequal length are), 0 where new tokens see the whole context."""
    tokens = row.m / row.batch
    if row.query > tokens:
        return 1.0
    masked = row.batch * tokens * (tokens - 1.0) / 2.0
    return min(1.0, max(0.0, (tokens * row.kv_tokens - row.pairs) / max(masked, 1.0)))


@kernel
def _in_vain(row, machine):
    """Keys that a block reads needlessly at each edge of its mask, since it reads whole tiles of context."""
    library = row.library
    return given(machine.gpu_attention_mask_edge[library], 0.0) * machine.gpu_attention_tile_context[library]


@kernel
def _farthest(row, packed, tile, machine):
    """Keys that the longest block walks."""
    walked = row.kv
    if row.window > 0.0:
        reach = row.kv if row.query == 1.0 else row.window + tile / packed
        walked = min(row.kv, reach) + (_in_vain(row, machine) if row.kv >= row.window else 0.0)
    return walked + (_in_vain(row, machine) * _causality(row) if row.query > 1.0 else 0.0)


@kernel
def _scores(row, packed, tile, machine):
    """Scores that the blocks of one unit compute: whole tiles, those beyond the diagonal or the window skipped.

    Prompts of unequal length: the useful scores, and half a tile beyond the diagonal for every new token.
    """
    tokens, vain = row.m / row.batch, _in_vain(row, machine)
    if row.query > tokens:
        beyond = (tile / packed - 1.0) / 2.0 + vain
        return packed * (row.pairs + row.m * beyond) / row.batch
    cut = vain if row.window > 0.0 and row.kv >= row.window else 0.0
    if row.query == 1.0:
        return math.ceil(packed * tokens / tile) * tile * (row.kv_tokens / row.batch + cut)
    before = row.kv_tokens / row.batch - tokens
    causality = _causality(row)
    walked = 0.0
    for block in range(math.ceil(packed * tokens / tile)):
        end = min((block + 1.0) * tile / packed, tokens)
        seen = before + causality * end + (1.0 - causality) * tokens
        walked += min(seen, row.window + tile / packed + cut) if row.window > 0.0 else seen
        walked += vain * causality
    return tile * walked


@kernel
def _score_time(row, library, machine):
    """Seconds that all SMs take for one score: its multiply-accumulates, and what of its softmax does not hide."""
    passes = given(machine.gpu_attention_exposed_passes[library], 0.0)
    lanes = machine.gpu_sms * machine.gpu_vector_lanes_per_sm * machine.gpu_clock
    return pair_elements(row) / _mac_rate(library, machine) + passes / lanes


@kernel
def _mac_rate(library, machine):
    """Multiply-accumulates per second of all SMs in this library's main loop, a fraction of the 16-bit rate."""
    rate = machine.gpu_sms * machine.gpu_macs_per_sm_bf16 * machine.gpu_clock
    return rate * machine.gpu_attention_efficiency_bf16[library]
