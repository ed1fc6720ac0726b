"""Time of a contraction x[m, k] . w[n, k] on the MAC array, on slices, padding included."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.dtypes import BF16, FP8, INT4, INT8
from npusim.mapping.optable import SPLIT_ROWS


@kernel
def operand_bytes(dtype):
    """Bytes of one operand in the MAC array."""
    if dtype == INT4:
        return 0.5
    return 1.0 if dtype in (FP8, INT8) else 2.0


@kernel
def rate_of(dtype, bf16, fp8, int8, int4):
    """The rate of an operand type among the four."""
    if dtype == BF16:
        return bf16
    if dtype == FP8:
        return fp8
    return int8 if dtype == INT8 else int4


@kernel
def slice_rate(dtype, machine):
    """Multiply-accumulates per cycle of one slice."""
    return rate_of(
        dtype,
        machine.tcp_macs_per_slice_bf16,
        machine.tcp_macs_per_slice_fp8,
        machine.tcp_macs_per_slice_int8,
        machine.tcp_macs_per_slice_int4,
    )


@kernel
def slice_contraction_time(m, n, k, dtype, split, machine, pes):
    """Seconds on `pes` PEs: w is spread over slices, m tokens lie in the lanes' registers, w streams past them.

    Columns of w go to slices (over all PEs, or within a PE when rows are split over the PEs); padded slices idle.
    A packet passes once per `lanes` tokens, and no faster than the operand stream delivers it; after each column of
    `lanes` tokens the reducer drains (furiosa-ai/furiosa-opt@ebb846a docs/src/computing-tensors/contraction-engine,
    packet-reducer, moving-tensors/fetch-engine).
    """
    slices = machine.tcp_slices_per_pe
    if split == SPLIT_ROWS:
        depth = math.ceil(k / pes)
    else:
        depth = k
        slices *= pes
    columns = math.ceil(n / slices)
    elements_per_packet = machine.tcp_packet / operand_bytes(dtype)
    packets = columns * math.ceil(depth / elements_per_packet)
    lanes = machine.tcp_lanes
    turns = math.ceil(m / lanes)
    passes = turns * elements_per_packet * lanes / slice_rate(dtype, machine)
    delivery = machine.tcp_packet / machine.tcp_operand_stream_per_slice
    cycles = packets * max(delivery, passes / machine.tcp_contraction_efficiency)
    cycles += columns * turns * machine.tcp_reducer_drain
    return cycles / machine.tcp_clock


@kernel
def unoverlapped_tile_time(contraction_s, memory_s, weight_bytes, machine, pes):
    """Seconds that multiplying and loading weights do not share: the first tile loads, or the last one is multiplied.

    Weights come in tiles of about 4 MB a PE, 17-21 us each (swsok/heteropilot@d3cd9b6
    outputs/rngd_profile/collective_probe.json); a matrix of one tile shares nothing.
    """
    return min(contraction_s, memory_s) / tile_count(weight_bytes, machine, pes)


@kernel
def tile_count(weight_bytes, machine, pes):
    """Tiles in which `pes` PEs load weights: as large as they may be."""
    return max(1.0, weight_bytes / (pes * machine.tcp_weight_tile))
