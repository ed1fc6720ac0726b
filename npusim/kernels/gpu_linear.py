"""Time of a matrix product x[m, k] . w[n, k] by a GPU library: output tiles in waves over the SMs."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.dtypes import BF16, FP8
from npusim.kernels.contraction import rate_of
from npusim.kernels.memory import stream_bandwidth
from npusim.mapping.grouped import row_blocks


@kernel
def sm_rate(dtype, machine):
    """Multiply-accumulates per cycle of one streaming multiprocessor."""
    return rate_of(
        dtype,
        machine.gpu_macs_per_sm_bf16,
        machine.gpu_macs_per_sm_fp8,
        machine.gpu_macs_per_sm_int8,
        machine.gpu_macs_per_sm_int4,
    )


@kernel
def efficiency_of(dtype, bf16, fp8, int8):
    """A library's efficiency for an operand type; int8 as fp8 where it is not given."""
    if dtype == BF16:
        return bf16
    return fp8 if dtype == FP8 or math.isnan(int8) else int8


@kernel
def gpu_linear_times(row, machine):
    """(contraction, memory, fixed) seconds of the fastest tile shape and split of k.

    Tiles of the library's shape or half of it either way; a last wave that is not full costs a whole one ("Matrix
    Multiplication Background User's Guide", docs.nvidia.com); with few tiles, k may be split, which fills the SMs and
    costs the merge; SMs that hold a tile draw no more than `stream_per_sm` each from memory.
    """
    best_contraction = best_memory = best_fixed = best = math.inf
    library = row.library
    for halved in range(4):
        rows = machine.gpu_linear_tile_rows[library] / (1.0 + halved % 2)
        columns = machine.gpu_linear_tile_columns[library] / (1.0 + halved // 2)
        tiles = row_blocks(row, rows) * math.ceil(row.n / columns)
        depth = machine.gpu_linear_tile_depth[library]
        most = max(1.0, min(machine.gpu_sms // tiles, row.k // depth))
        for splits in (1.0, most):
            contraction = _waves_time(tiles, splits, rows, columns, row, machine)
            memory = _stream_time(tiles * splits, row, machine)
            fixed = machine.gpu_linear_launch[library]
            if splits > 1.0:
                fixed += machine.gpu_linear_split_merge[library]
            total = max(contraction, memory) + fixed
            if total < best:
                best, best_contraction, best_memory, best_fixed = total, contraction, memory, fixed
    return best_contraction, best_memory, best_fixed


@kernel
def _waves_time(tiles, splits, rows, columns, row, machine):
    library = row.library
    efficiency = efficiency_of(
        row.activation_dtype,
        machine.gpu_linear_efficiency_bf16[library],
        machine.gpu_linear_efficiency_fp8[library],
        machine.gpu_linear_efficiency_int8[library],
    )
    waves = math.ceil(tiles * splits / machine.gpu_sms)
    cycles = waves * rows * columns * row.k / splits / (sm_rate(row.activation_dtype, machine) * efficiency)
    return cycles / machine.gpu_clock


@kernel
def _stream_time(blocks, row, machine):
    """Weights and activations, each once, at the memory's rate or that of the SMs at work."""
    library = row.library
    memory_rate = stream_bandwidth(machine, 1.0) * machine.gpu_linear_stream_efficiency[library]
    sm_limit = min(blocks, machine.gpu_sms) * machine.gpu_linear_stream_per_sm[library]
    return (row.weight_bytes + row.activation_bytes) / min(memory_rate, sm_limit)
