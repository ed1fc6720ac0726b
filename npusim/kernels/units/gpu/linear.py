"""Time of a matrix product x[m, k] . w[n, k] by a GPU library: output tiles in waves over the SMs."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.rates import efficiency_of, given, rate_of
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
        machine.gpu_macs_per_sm_nvfp4,
    )


@kernel
def linear_times(row, machine):
    """(contraction, memory, fixed) seconds of the fastest tile shape and split of k."""
    contraction, memory, fixed, _ = fastest_tiles(row, machine)
    return contraction, memory, fixed


@kernel
def fastest_tiles(row, machine):
    """(contraction, memory, fixed) seconds of the fastest tile shape and split of k, or of the tile that the library
    takes for so many rows, and its waves.

    Tiles of the library's shape, of half its rows, of a half or a quarter of its columns; a last wave that is not full
    costs a whole one ("Matrix Multiplication Background User's Guide", docs.nvidia.com), and each wave the filling of
    its pipeline; with few tiles, k may be split, which fills the SMs and costs the merge; SMs that hold a tile draw no
    more than `stream_per_sm` each from memory.
    """
    library = row.library
    if given(machine.gpu_linear_tiles_by_rows_low[library], 0.0) > 0.0:
        return _tiles_by_rows(row, machine)
    best_contraction = best_memory = best_fixed = best = math.inf
    best_waves = 1.0
    # The whole tile or half of its rows, with all, a half or a quarter of its columns.
    for halved in range(2):
        for quartered in range(3):
            rows = machine.gpu_linear_tile_rows[library] / 2.0**halved
            columns = machine.gpu_linear_tile_columns[library] / 2.0**quartered
            tiles = row_blocks(row, rows) * math.ceil(row.n / columns)
            depth = machine.gpu_linear_tile_depth[library]
            most = max(1.0, min(machine.gpu_sms // tiles, row.k // depth))
            for splits in (1.0, most):
                contraction, memory, fixed, waves = _tiled_times(tiles, splits, rows, columns, row, machine)
                total = max(contraction, memory) + fixed
                if total < best:
                    best, best_contraction, best_memory, best_fixed = total, contraction, memory, fixed
                    best_waves = waves
    return best_contraction, best_memory, best_fixed, best_waves


@kernel
def _tiles_by_rows(row, machine):
    """(contraction, memory, fixed) seconds of the tile that the library takes for so many rows, and its waves.

    Rows of a tile that lie outside the matrix are filled with zeros, which takes longer than to load rows. Measured:
    a product of 1,040 rows takes 1.1 to 1.9 times one of 1,024 (validation/data/h200/vllm_linear.csv).
    """
    library = row.library
    rows, columns = machine.gpu_linear_tile_rows[library], machine.gpu_linear_tile_columns[library]
    low = row.m <= machine.gpu_linear_tiles_by_rows_low[library]
    if low:
        rows /= 2.0
    if row.m <= machine.gpu_linear_tiles_by_rows_narrow[library]:
        columns /= 2.0
    filled = row_blocks(row, rows)
    blocks = filled if low else 2.0 * math.ceil(filled / 2.0)
    tiles = blocks * math.ceil(row.n / columns)
    contraction, memory, fixed, waves = _tiled_times(tiles, 1.0, rows, columns, row, machine)
    slower = 1.0
    if row.m > machine.gpu_linear_tiles_by_rows_transposed[library]:
        empty = filled - row.m / rows - machine.gpu_linear_tiles_by_rows_empty_free[library]
        slower += max(0.0, empty) * machine.gpu_linear_tiles_by_rows_empty_time[library] / blocks
    return contraction * slower, memory * slower, fixed, waves


@kernel
def _tiled_times(tiles, splits, rows, columns, row, machine):
    """(contraction, memory, fixed) seconds with one tile shape and k cut in `splits`, and its waves."""
    library = row.library
    waves = math.ceil(tiles * splits / machine.gpu_sms)
    fixed = machine.gpu_linear_launch[library] + waves * given(machine.gpu_linear_tile_time[library], 0.0)
    if splits > 1.0:
        fixed += machine.gpu_linear_split_merge[library]
    contraction = waves * _tile_work_time(splits, rows, columns, row, machine)
    return contraction, _stream_time(tiles * splits, row, machine), fixed, waves


@kernel
def _tile_work_time(splits, rows, columns, row, machine):
    """Seconds of arithmetic of one tile over its part of k."""
    library = row.library
    efficiency = efficiency_of(
        row.activation_dtype,
        machine.gpu_linear_efficiency_bf16[library],
        machine.gpu_linear_efficiency_fp8[library],
        machine.gpu_linear_efficiency_int8[library],
    )
    cycles = rows * columns * row.k / splits / (sm_rate(row.activation_dtype, machine) * efficiency)
    return cycles / machine.gpu_clock


@kernel
def _stream_time(blocks, row, machine):
    """Weights once from memory, activations once through the L2 cache, as fast as the SMs at work draw them."""
    library = row.library
    weights_rate = stream_bandwidth(machine, 1.0) * machine.gpu_linear_stream_efficiency[library]
    streamed = row.weight_bytes / weights_rate + activation_time(row, machine)
    drawn = (row.weight_bytes + row.activation_bytes) / machine.gpu_linear_stream_per_sm[library]
    return max(streamed, drawn / min(blocks, machine.gpu_sms))


@kernel
def activation_time(row, machine):
    """Seconds to move a GPU operator's activations through the L2 cache, or through memory where they are larger."""
    cached = row.activation_bytes <= machine.gpu_l2_capacity
    return row.activation_bytes / (machine.gpu_l2_bandwidth if cached else stream_bandwidth(machine, 1.0))
