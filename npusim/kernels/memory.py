"""Time to stream bytes from main memory, by access size and by how many engines ask at once."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.hardware.machine import UNIT_CONTRACTION_PROCESSOR


@kernel
def peak_bandwidth(machine):
    """Bytes/s of all channels together."""
    return machine.memory_stacks * machine.memory_channels_per_stack * machine.memory_channel_bandwidth


@kernel
def access_efficiency(run_bytes, machine):
    """Part of each access that is wanted when memory is read in contiguous runs of `run_bytes`.

    A run occupies whole access units (furiosa-ai/furiosa-opt docs/src/moving-tensors/memory-performance.md: 256 B).
    """
    units = max(1.0, -(-run_bytes // machine.memory_access_unit))
    return run_bytes / (units * machine.memory_access_unit)


@kernel
def stream_bandwidth(machine, pes):
    """Bytes/s that `pes` PEs (ignored for a GPU) draw together in long aligned streams.

    Engine limit and memory limit are joined by a p-norm, 1/B^p = 1/(pes b)^p + 1/M^p with p = contention_sharpness:
    1/2/4/8 streaming PEs of RNGD draw 213/419/779/1297-1396 GB/s (swsok/heteropilot collective_probe.json).
    """
    hot = 1.0 - machine.settled * (1.0 - machine.memory_hot_efficiency)
    limit = peak_bandwidth(machine) * machine.memory_stream_efficiency * machine.memory_stream_residual * hot
    if machine.unit_kind != UNIT_CONTRACTION_PROCESSOR:
        return limit
    engines = pes * machine.tcp_dma_bandwidth_per_pe * machine.tcp_clock * machine.tcp_dma_efficiency
    least, most = min(engines, limit), max(engines, limit)
    part = least / most if math.isfinite(most) else 0.0
    sharpness = machine.memory_contention_sharpness
    return least * (1.0 + part**sharpness) ** (-1.0 / sharpness)


@kernel
def stream_time(byte_count, run_bytes, machine, pes):
    """Seconds to stream `byte_count` in contiguous runs of `run_bytes`, DMA start-up or kernel ramp not included."""
    if byte_count <= 0.0:
        return 0.0
    return byte_count / (stream_bandwidth(machine, pes) * access_efficiency(run_bytes, machine))


@kernel
def activation_time(row, machine):
    """Seconds to move a GPU operator's activations through the L2 cache, or through memory where they are larger."""
    cached = row.activation_bytes <= machine.gpu_l2_capacity
    return row.activation_bytes / (machine.gpu_l2_bandwidth if cached else stream_bandwidth(machine, 1.0))
