"""Time to stream bytes from main memory, by access size and number of engines that read at once."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.hardware.kv_layouts import BEST_RUNS, HEAD_TOKEN_KV, TOKEN_HEAD_KV, TOKEN_KV_HEAD
from npusim.kernels.unit import drawn_bandwidth, kv_copies


@kernel
def peak_bandwidth(machine):
    """Bytes/s of all channels together."""
    return machine.memory_stacks * machine.memory_channels_per_stack * machine.memory_channel_bandwidth


@kernel
def access_efficiency(run_bytes, machine):
    """Fraction of the fetched bytes that are wanted when memory is read in contiguous runs of `run_bytes`.

    A run occupies whole access units (furiosa-ai/furiosa-opt docs/src/moving-tensors/memory-performance.md: 256 B).
    """
    # -(-a // b) rounds up.
    units = max(1.0, -(-run_bytes // machine.memory_access_unit))
    return run_bytes / (units * machine.memory_access_unit)


@kernel
def stream_limit(machine):
    """Bytes/s that the memory delivers to the chip in long aligned streams, whatever unit of it draws them.

    A host that shares the memory takes its part of the memory's time: work-conserving channels serve both in turn.
    """
    hot = 1.0 - machine.settled * (1.0 - machine.memory_hot_efficiency)
    part = machine.memory_stream_efficiency * machine.memory_stream_residual * hot
    return peak_bandwidth(machine) * min(1.0, part) * (1.0 - machine.memory_host_share)


@kernel
def stream_bandwidth(machine, pes):
    """Bytes/s that the unit's `pes` engines (1 where it has none) read together in long aligned streams."""
    return drawn_bandwidth(stream_limit(machine), machine, pes)


@kernel
def stream_time(byte_count, run_bytes, machine, pes):
    """Seconds to stream `byte_count` in contiguous runs of `run_bytes`, DMA start-up or kernel ramp not included."""
    if byte_count <= 0.0:
        return 0.0
    return byte_count / (stream_bandwidth(machine, pes) * access_efficiency(run_bytes, machine))


@kernel
def kv_stream_time(row, machine, runtime):
    """Seconds to stream K and V in the runs of the runtime's layout."""
    fetched, stored = kv_moved_bytes(row, machine, runtime)
    return (fetched + stored) / stream_bandwidth(machine, row.pes)


@kernel
def kv_moved_bytes(row, machine, runtime):
    """(bytes of K and V that are read by every engine that needs them, bytes written), in whole access units."""
    efficiency = access_efficiency(kv_run_bytes(row, runtime.kv_layout, machine, runtime), machine)
    read = (1.0 - row.stays) * row.kv_read_bytes * kv_copies(row, machine, row.pes)
    return read / efficiency, row.kv_write_bytes / efficiency


@kernel
def fetched_bytes(byte_count, run_bytes, machine):
    """Bytes of the whole access units that `byte_count` bytes in runs of `run_bytes` occupy."""
    return byte_count / access_efficiency(run_bytes, machine)


@kernel
def weight_run_bytes(elements, bits):
    """Contiguous bytes of a row of `elements` weights of so many `bits`, of which a fraction are those of scales.

    Scales lie apart: they do not push a row beyond whole access units.
    """
    return elements * max(1.0, math.floor(bits)) / 8.0


@kernel
def kv_run_bytes(row, layout, machine, runtime):
    """Contiguous bytes of K and V that one engine finds in the KV cache, by the order of its elements in memory.

    An engine reads whole heads: its share of them, at least one. Token by token these lie side by side; head by head
    the tokens of a block do. K and V of a head lie side by side where the layout ends in `kv`; a latent has no such
    pair. `best_runs`: the first of those that waste the least of their access units.
    """
    if layout == BEST_RUNS:
        best = kv_run_bytes_of(row, 0, runtime)
        for other in range(1, BEST_RUNS):
            run = kv_run_bytes_of(row, other, runtime)
            if access_efficiency(run, machine) > access_efficiency(best, machine):
                best = run
        return best
    return kv_run_bytes_of(row, layout, runtime)


@kernel
def kv_run_bytes_of(row, layout, runtime):
    """`kv_run_bytes` of a layout that is named."""
    run = row.head_dim * row.kv_bits / 8.0
    if layout in (TOKEN_HEAD_KV, HEAD_TOKEN_KV) and row.latent == 0.0:
        run *= 2.0
    if layout in (TOKEN_HEAD_KV, TOKEN_KV_HEAD):
        return run * max(1.0, row.kv_heads // max(row.pes, 1.0))
    return run * runtime.kv_block
