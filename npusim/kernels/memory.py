"""Time to stream bytes from main memory, by access size and number of engines that read at once."""

from __future__ import annotations

from npusim.compilation import kernel
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
    """Bytes/s that the memory delivers in long aligned streams, whoever draws them."""
    hot = 1.0 - machine.settled * (1.0 - machine.memory_hot_efficiency)
    return peak_bandwidth(machine) * machine.memory_stream_efficiency * machine.memory_stream_residual * hot


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
    """Seconds to stream K and V; a run of memory is one head of one KV block."""
    pes = row.pes
    run_bytes = row.head_dim * row.kv_bits / 8.0 * runtime.kv_block
    moved = row.kv_read_bytes * kv_copies(row, machine, pes) + row.kv_write_bytes
    return stream_time(moved, run_bytes, machine, pes)
