"""Time of grouped-query attention: the two contractions, the softmax between them, the KV stream."""

from __future__ import annotations

import math

from numba import njit

from npusim.kernels.contraction import operand_bytes, slice_rate, sm_rate
from npusim.kernels.memory import stream_time


@njit(cache=True)
def kv_stream_time(row, machine, runtime):
    """Seconds to stream K and V; a run of memory is one head of one KV block."""
    run_bytes = row.head_dim * row.kv_bits / 8.0 * runtime.kv_block
    return stream_time(row.kv_read_bytes + row.kv_write_bytes, run_bytes, machine, runtime.pe_fusion)


@njit(cache=True)
def slice_attention_times(row, machine, pes):
    """(contraction, vector) seconds of attention on `pes` PEs: every tile of scores is computed, masked or not.

    KV heads are spread over slices; the query heads of a group and the query tokens lie in the lanes. Prefill
    attention on RNGD grows with the rectangle of new tokens x context, not with its causal half
    (swsok/heteropilot outputs/rngd_edf_bundle).
    """
    slices = pes * machine.tcp_slices_per_pe
    group_rows = math.ceil(row.query * row.heads / row.kv_heads / machine.tcp_lanes) * machine.tcp_lanes
    scores = row.batch * row.kv_heads * group_rows * row.kv
    macs = 2.0 * scores * row.head_dim
    streamed = row.batch * row.kv_heads * 2.0 * row.kv * row.head_dim * operand_bytes(row.activation_dtype)
    full_rate = slices * slice_rate(row.activation_dtype, machine) * machine.tcp_contraction_efficiency
    delivery = slices * machine.tcp_operand_stream_per_slice
    contraction = max(macs / full_rate, streamed / delivery) / machine.tcp_clock
    useful_scores = row.batch * row.heads * row.query * row.kv
    vector_rate = slices * machine.tcp_vector_lanes * machine.tcp_clock
    return contraction, useful_scores * machine.tcp_vector_passes_softmax / vector_rate


@njit(cache=True)
def gpu_attention_times(row, machine):
    """(contraction, vector) seconds of flash attention: work in tiles of query rows; the masked half is skipped.

    Dao et al., FlashAttention-2, arXiv 2307.08691 (tiling, causal skipping). The softmax overlaps the contractions;
    what it costs is in the attention efficiency.
    """
    group = row.heads / row.kv_heads
    if row.decoding == 1:
        useful = row.batch * row.kv_heads
        tiles_rows = math.ceil(row.query * group / machine.gpu_tile_depth) * machine.gpu_tile_depth
        macs = 2.0 * useful * tiles_rows * row.head_dim * row.kv_tokens / row.batch
    else:
        diagonal = row.batch * row.query * machine.gpu_tile_rows / 2.0
        macs = 2.0 * row.heads * row.head_dim * (row.pairs + diagonal)
    rate = machine.gpu_sms * sm_rate(row.activation_dtype, machine) * machine.gpu_clock
    busy = _occupied(row, group, machine)
    return macs / (rate * machine.gpu_attention_efficiency * busy), 0.0


@njit(cache=True)
def _occupied(row, group, machine):
    """Part of the SMs that has a tile in the last wave's average; decode splits the context and fills them."""
    if row.decoding == 1:
        return 1.0
    blocks = row.batch * row.heads * math.ceil(row.query / machine.gpu_tile_rows)
    waves = math.ceil(blocks / machine.gpu_sms)
    return blocks / (waves * machine.gpu_sms)
