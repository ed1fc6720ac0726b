"""Time of a grouped matrix product on a GPU: the rows that go to each weight matrix are cut in tiles of their own."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.gpu_linear import efficiency_of, sm_rate
from npusim.kernels.memory import stream_bandwidth
from npusim.mapping.grouped import row_blocks


@kernel
def gpu_grouped_times(row, machine):
    """(contraction, memory, fixed seconds, MACs done) with the tile that ends first; it is halved while that pays."""
    library = row.library
    memory = row.weight_bytes + row.activation_bytes
    memory /= stream_bandwidth(machine, 1.0) * machine.gpu_grouped_stream_efficiency[library]
    best = work = math.inf
    rows = machine.gpu_grouped_tile_rows[library]
    while rows >= machine.gpu_grouped_least_rows[library]:
        blocks = row_blocks(row, rows)
        contraction = _tiles_time(blocks, rows, row, machine)
        if contraction >= best:
            break
        best, work = contraction, blocks * rows * row.n * row.k
        if best <= memory:
            break
        rows /= 2.0
    return best, memory, machine.gpu_grouped_launch[library] + 0.5 * machine.gpu_grouped_sort[library], work


@kernel
def _tiles_time(blocks, rows, row, machine):
    """Seconds of the waves of tiles, `rows` rows by the columns of one matrix; a last wave costs a whole one."""
    library = row.library
    columns = machine.gpu_grouped_tile_columns[library]
    efficiency = efficiency_of(
        row.activation_dtype,
        machine.gpu_grouped_efficiency_bf16[library],
        machine.gpu_grouped_efficiency_fp8[library],
        machine.gpu_grouped_efficiency_int8[library],
    )
    if rows < machine.gpu_grouped_full_rows[library]:
        efficiency *= machine.gpu_grouped_small_efficiency[library]
    tiles = math.ceil(blocks) * math.ceil(row.n / columns)
    waves = math.ceil(tiles / machine.gpu_sms)
    cycles = waves * rows * columns * row.k / (sm_rate(row.activation_dtype, machine) * efficiency)
    return cycles / machine.gpu_clock
