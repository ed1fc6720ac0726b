"""Time of grouped-query attention: the two contractions, the softmax between them, the KV stream."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.collective import on_chip_reduction_time
from npusim.kernels.contraction import operand_bytes, slice_rate
from npusim.kernels.memory import stream_time


@kernel
def kv_stream_time(row, machine, runtime):
    """Seconds to stream K and V; a run of memory is one head of one KV block."""
    run_bytes = row.head_dim * row.kv_bits / 8.0 * runtime.kv_block
    return stream_time(row.kv_read_bytes + row.kv_write_bytes, run_bytes, machine, runtime.pe_fusion)


@kernel
def shared_heads_time(row, machine, pes):
    """Seconds in which PEs that share a query head join their parts: the softmax sums, then the output.

    Query heads lie on PEs; where they do not divide evenly, some lie on two, and the layer reduces twice more. Inferred
    from served models: beyond its bytes a layer costs about 0.16 ms with 16 or 32 query heads on 8 PEs, about 0.3 ms
    with 12, 14 or 28 (SOTA-PNU/RNGD-proj REPORT.md, time between tokens of one user).
    """
    if row.heads % pes == 0.0:
        return 0.0
    moved = 2.0 * row.m * row.heads * row.head_dim
    return 2.0 * on_chip_reduction_time(moved, machine, pes)


@kernel
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
