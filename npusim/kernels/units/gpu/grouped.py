"""Time of a grouped matrix product on a GPU: the rows that go to each weight matrix are cut in tiles of their own."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.dtypes import MXFP4
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.rates import efficiency_of, operand_bytes
from npusim.kernels.units.gpu.linear import sm_rate
from npusim.mapping.grouped import row_blocks


@kernel
def grouped_times(row, machine):
    """(contraction, memory, fixed seconds, MACs done) with the fastest tile; of equally fast ones that with fewer MACs.

    Tiles have `tile_rows` rows or a half, a quarter ... down to `least_rows`, and likewise columns where there are too
    few tiles for all SMs. Rows that go to other ranks' experts are written as zeros by thread blocks of their own.
    """
    library = row.library
    contraction = memory = total = work = math.inf
    rows = machine.gpu_grouped_tile_rows[library]
    while rows >= machine.gpu_grouped_least_rows[library]:
        blocks = row_blocks(row, rows)
        columns = _tile_columns(blocks, row.n, machine, library)
        tiles = blocks * math.ceil(row.n / columns)
        arithmetic = _tiles_time(tiles, rows, columns, row, machine)
        stream = _stream_time(tiles, row, machine)
        if max(arithmetic, stream) < total or (max(arithmetic, stream) == total and arithmetic < contraction):
            contraction, memory, total = arithmetic, stream, max(arithmetic, stream)
            work = blocks * rows * row.n * row.k
        rows /= 2.0
    foreign = machine.gpu_grouped_foreign_rows[library] * max(0.0, row.spread - 1.0)
    # Two bytes an element.
    zeros = foreign * 2.0 * row.m * row.n / stream_bandwidth(machine, 1.0)
    sort = machine.gpu_grouped_sort[library] + row.m * max(1.0, row.spread) * machine.gpu_grouped_sort_row[library]
    # A layer sorts once for its two products: each has half of it.
    fixed = machine.gpu_grouped_launch[library] + 0.5 * sort
    return contraction, memory, fixed + zeros, work


@kernel
def _tile_columns(blocks, n, machine, library):
    """Columns of a tile: halved while there are SMs without one, down to `least_columns`."""
    columns = machine.gpu_grouped_tile_columns[library]
    least = machine.gpu_grouped_least_columns[library]
    while columns > least and blocks * math.ceil(n / columns) < machine.gpu_sms:
        columns /= 2.0
    return columns


@kernel
def _stream_time(tiles, row, machine):
    """Weights of the touched matrices and activations, at the memory's rate or that of the SMs at work."""
    library = row.library
    rate = stream_bandwidth(machine, 1.0) * machine.gpu_grouped_stream_efficiency[library]
    of_sms = min(max(1.0, tiles), machine.gpu_sms) * machine.gpu_grouped_stream_per_sm[library]
    streamed = (row.weight_bytes + row.activation_bytes) / min(rate, of_sms)
    return streamed / _alignment_efficiency(row, machine)


@kernel
def _tiles_time(tiles, rows, columns, row, machine):
    """Seconds of the waves of tiles; a last wave costs a whole one."""
    library = row.library
    efficiency = efficiency_of(
        row.activation_dtype,
        machine.gpu_grouped_efficiency_bf16[library],
        machine.gpu_grouped_efficiency_fp8[library],
        machine.gpu_grouped_efficiency_int8[library],
    )
    if rows < machine.gpu_grouped_full_rows[library]:
        efficiency *= machine.gpu_grouped_small_efficiency[library]
    efficiency *= _alignment_efficiency(row, machine)
    waves = math.ceil(tiles / machine.gpu_sms)
    cycles = waves * rows * columns * row.k / (sm_rate(row.activation_dtype, machine) * efficiency)
    return cycles / machine.gpu_clock


@kernel
def _alignment_efficiency(row, machine):
    """1 where the rows of a matrix begin at multiples of `alignment` elements; others are loaded element by element.

    Weights of 4 bits are packed, and padded to whole blocks of their scales (vLLM, MXFP4 experts).
    """
    if row.weight_dtype == MXFP4 or row.k % machine.gpu_grouped_alignment[row.library] == 0.0:
        return 1.0
    return machine.gpu_grouped_unaligned_efficiency[row.library] * operand_bytes(row.weight_dtype)
