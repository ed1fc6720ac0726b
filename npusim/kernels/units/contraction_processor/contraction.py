"""Time of a contraction x[m, k] . w[n, k] on the MAC array, on slices, padding included."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.rates import operand_bytes, rate_of
from npusim.kernels.units.contraction_processor.fusion import clocked
from npusim.kernels.units.contraction_processor.reduction import exposed_reduction_time
from npusim.kernels.units.contraction_processor.sram import accumulations
from npusim.mapping.grouped import joined_rows
from npusim.mapping.optable import SPLIT_ROWS

TILE_CUTS = (1.0, 2.0)
"""Parts into which the largest tiles of weights may be cut where smaller ones are faster."""
_DEPTH_PARTS = (1.0, 2.0, 4.0, 8.0)
_PARTIAL_BYTES = 4.0
_RESULT_BYTES = 2.0


@kernel
def slice_rate(dtype, machine):
    """Multiply-accumulates per cycle of one slice."""
    return rate_of(
        dtype,
        machine.tcp_macs_per_slice_bf16,
        machine.tcp_macs_per_slice_fp8,
        machine.tcp_macs_per_slice_int8,
        machine.tcp_macs_per_slice_int4,
        machine.tcp_macs_per_slice_nvfp4,
    )


@kernel
def operand_delivery(machine):
    """Bytes of operands per cycle that reach the MAC array of one slice: what is fetched, at most the rate of the
    SRAM."""
    return min(machine.tcp_operand_stream_per_slice, machine.tcp_sram_bandwidth_per_slice)


@kernel
def slice_contraction_time(m, n, k, dtype, split, machine, pes):
    """Seconds on `pes` PEs: w is spread over slices, the lanes' registers hold m tokens, w streams past them.

    Columns of w go to slices (over all PEs, or within a PE when rows are split over the PEs); padded slices idle.
    A packet passes once per `lanes` tokens, and no faster than the operand stream delivers it, once for all tokens that
    the accumulators hold; after each column of `lanes` tokens the reducer drains (furiosa-ai/furiosa-opt@ebb846a
    docs/src/computing-tensors/contraction-engine, packet-reducer, moving-tensors/fetch-engine).
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
    delivery = machine.tcp_packet / operand_delivery(machine) * accumulations(m, machine)
    cycles = packets * max(delivery, passes / machine.tcp_contraction_efficiency)
    cycles += columns * turns * machine.tcp_reducer_drain
    return cycles / machine.tcp_clock


@kernel
def spread_contraction_time(m, n, k, dtype, split, machine, pes):
    """As `slice_contraction_time`, with k over 1, 2, 4 or 8 slices of a PE where too few columns leave slices idle.

    Partial sums of 32 bits then pass from slice to slice round the ring, a hop for each part
    (furiosa-ai/furiosa-opt@ebb846a docs/src/computing-tensors; the hop from a compiler's schedule).
    """
    best = math.inf
    for parts in _DEPTH_PARTS:
        if parts <= min(k, machine.tcp_slices_per_pe):
            columns = n * parts
            seconds = slice_contraction_time(m, columns, math.ceil(k / parts), dtype, split, machine, pes)
            slices = machine.tcp_slices_per_pe * (1.0 if split == SPLIT_ROWS else pes)
            results = _PARTIAL_BYTES * m * math.ceil(columns / slices)
            hops = (parts - 1.0) * (machine.tcp_ring_hop + results / machine.tcp_operand_stream_per_slice)
            best = min(best, seconds + hops / machine.tcp_clock)
    return best


@kernel
def product_time(contraction_s, memory_s, weight_bytes, idle_s, machine, pes, tile, joined):
    """(seconds from the DMA command to the last result, tiles, seconds of reduction among them) of a product in tiles.

    idle_s: seconds for which the memory was idle before, during which tiles are fetched. Tiles are of at most about 4
    MB a PE, 17-21 us each (swsok/heteropilot@d3cd9b6 outputs/rngd_profile/collective_probe.json), or of half as much
    where that is faster; each is a program. Where only `tile` bytes a PE have room they are more, and never faster for
    that. joined: bytes of partial results that the PEs sum, in parts while later tiles are computed.
    """
    fewest = max(1.0, weight_bytes / (pes * machine.tcp_weight_tile))
    best, chosen, exposed = math.inf, fewest, 0.0
    busy = max(contraction_s, memory_s)
    for cut in TILE_CUTS:
        tiles = fewest * cut
        multiply = contraction_s / tiles + clocked(machine.tcp_program_time, machine)
        seconds = tiled_time(tiles, memory_s / tiles, 0.0, True, multiply, idle_s, machine)
        reduction = exposed_reduction_time(joined, busy, tiles, machine, pes) if joined > 0.0 else 0.0
        if seconds + reduction < best:
            best, chosen, exposed = seconds + reduction, tiles, reduction
    forced = weight_bytes / (pes * tile)
    if forced > chosen:
        multiply = contraction_s / forced + clocked(machine.tcp_program_time, machine)
        best = max(best, tiled_time(forced, memory_s / forced, 0.0, True, multiply, idle_s, machine) + exposed)
    return best, chosen, exposed


@kernel
def joined_bytes(row):
    """Bytes of partial results that the PEs sum after a product split over them."""
    return _RESULT_BYTES * joined_rows(row) * row.n if row.split == SPLIT_ROWS else 0.0


@kernel
def tiled_time(tiles, load, fill, once, multiply, idle_s, machine):
    """Seconds of `tiles` tiles: each is loaded, fills the registers (all of them together where `once`), is multiplied.

    The slowest of the three sets the pace, or all of them in turn where the DMA queue holds too few tiles: those beyond
    its depth are not loaded before the first is multiplied. During `idle_s` before, as many are loaded as it holds.
    """
    command, depth = clocked(machine.tcp_dma_command, machine), machine.tcp_dma_queue
    loaded = max(0.0, command + load - idle_s)
    each_fill = 0.0 if once else fill
    begun = max(loaded, fill) if once else loaded + fill
    early = min(idle_s, command + min(depth, tiles) * load)
    # With `depth` tiles in flight, one ends in each depth-th part of the time that a tile takes in all.
    in_turn = (command + load + each_fill + multiply) / depth
    seconds = max(command + tiles * load - early + each_fill + multiply, begun + tiles * multiply)
    seconds = max(seconds, loaded + tiles * each_fill + multiply)
    if tiles > depth:
        seconds = max(seconds, begun + multiply + (tiles - depth) * load + each_fill + multiply)
        seconds = max(seconds, begun + depth * multiply + (tiles - depth) * in_turn)
    return seconds
