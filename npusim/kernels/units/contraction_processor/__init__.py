"""A tensor contraction processor: what each operator costs on its PEs."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.memory import fetched_bytes, kv_moved_bytes, kv_stream_time, stream_time, weight_run_bytes
from npusim.kernels.units.contraction_processor.attention import (
    kv_copies,
    prompt_parts,
    shared_heads_time,
    slice_attention_times,
)
from npusim.kernels.units.contraction_processor.contraction import joined_bytes, product_time, spread_contraction_time
from npusim.kernels.units.contraction_processor.fusion import clocked, clusters_at_work, fusions
from npusim.kernels.units.contraction_processor.lookahead import overlap
from npusim.kernels.units.contraction_processor.sram import passed_bytes, place, port_time
from npusim.kernels.units.contraction_processor.vector import program_time, vector_time
from npusim.mapping.grouped import row_blocks
from npusim.mapping.optable import ABSORB, ATTENTION, COLLECTIVE, GATHER, LINEAR

__all__ = [
    "cost_row",
    "drawn_bandwidth",
    "fusions",
    "kv_copies",
    "lane_time",
    "meeting_time",
    "overlap",
    "place",
    "softmax_launch",
    "softmax_passes",
]


@kernel
def cost_row(row, machine, runtime, path, cost):
    """Seconds of a row on its PEs, and the fixed times of their programs."""
    pes = row.pes
    if row.kind == LINEAR:
        matrices = row.touched if row.matrices > 0.0 else 1.0
        rows = row_blocks(row, machine.tcp_lanes) * machine.tcp_lanes / matrices
        columns = matrices * row.n
        multiply = spread_contraction_time(rows, columns, row.k, row.activation_dtype, row.split, machine, pes)
        streamed, run = (1.0 - row.stays) * row.weight_bytes, weight_run_bytes(row.k, row.weight_bits)
        cost.memory_s, cost.fetched = stream_time(streamed, run, machine, pes), fetched_bytes(streamed, run, machine)
        least = max(1.0, row.weight_bytes / (pes * min(machine.tcp_weight_tile, row.tile)))
        cost.contraction_s = max(multiply, port_time(passed_bytes(row, least, machine), machine, pes))
        busy = max(cost.contraction_s, cost.memory_s)
        seconds, _, cost.link_s = product_time(
            cost.contraction_s, cost.memory_s, row.weight_bytes, 0.0, machine, pes, row.tile, joined_bytes(row)
        )
        cost.overhead_s += seconds - cost.link_s - busy + further_matrices_time(row, machine, runtime, path)
    elif row.kind == ATTENTION:
        cost.contraction_s, cost.vector_s = slice_attention_times(row, machine, pes)
        passing = port_time(passed_bytes(row, 1.0, machine), machine, pes)
        cost.contraction_s += max(0.0, passing - cost.contraction_s - cost.vector_s)
        cost.fetched, cost.stored = kv_moved_bytes(row, machine, runtime)
        cost.fetched += row.weight_bytes
        cost.memory_s = kv_stream_time(row, machine, runtime)
        cost.overhead_s += prompt_parts(row) * runtime.paths_attention_execution[path]
        cost.overhead_s += machine.tcp_vector_programs_softmax * clocked(machine.tcp_program_time, machine)
        cost.link_s = shared_heads_time(row, machine, pes)
    elif row.kind == GATHER:
        run = weight_run_bytes(row.n, row.weight_bits)
        cost.memory_s = stream_time(row.weight_bytes, run, machine, pes)
        cost.fetched = fetched_bytes(row.weight_bytes, run, machine)
        cost.overhead_s += clocked(machine.tcp_dma_command, machine)
    elif row.kind != COLLECTIVE:
        passing = port_time(passed_bytes(row, 1.0, machine), machine, pes)
        cost.vector_s = max(vector_time(row, machine, pes), passing)
        cost.overhead_s += program_time(row, machine)
    if row.spilled > 0.0:
        cost.memory_s += stream_time(row.spilled, machine.memory_access_unit, machine, pes)
        cost.fetched += 0.5 * row.spilled
        cost.stored += 0.5 * row.spilled
        cost.overhead_s += machine.tcp_dma_startup / machine.tcp_clock


@kernel
def meeting_time(machine, pes):
    """Seconds in which the clusters of a chip meet at the end of a step."""
    return machine.tcp_cluster_sync / machine.tcp_clock if clusters_at_work(pes, machine) > 1.0 else 0.0


@kernel
def further_matrices_time(row, machine, runtime, path):
    """Fixed seconds of the matrices of a grouped product after its first: they run one after the other.

    The matrix of a single row costs a command and a launch; one that several rows may share costs gathering the rows
    and scattering their results. Matrices of heads are one tensor in which the position of every row is known: one
    product with a batch dimension. Where the weights of all are one stream (`streamed_experts`), rows are gathered and
    scattered once for all, the command of the next matrix waits in the queue while one streams, and only what command
    and launch take beyond that stream is left.
    """
    if row.matrices <= 0.0 or row.op == ABSORB:
        return 0.0
    alone = clocked(machine.tcp_dma_command, machine) + runtime.paths_operator_launch[path]
    each = alone if row.paired > 0.0 else clocked(machine.tcp_matrix_switch, machine)
    if runtime.compiler_streamed_experts > 0.0:
        run = weight_run_bytes(row.k, row.weight_bits)
        streamed = max(0.0, alone - stream_time(row.weight_bytes / max(1.0, row.touched), run, machine, row.pes))
        each += runtime.compiler_streamed_experts * (min(each, streamed) - each)
    return (row.touched - 1.0) * each


@kernel
def softmax_passes(machine):
    """Passes of the vector engine over the scores."""
    return machine.tcp_vector_passes_softmax


@kernel
def softmax_launch(machine):
    """Fixed seconds of the programs of a softmax."""
    return machine.tcp_vector_programs_softmax * machine.tcp_program_time


@kernel
def lane_time(row, operations, machine):
    """Seconds of vector operations on elements that are in memory before and after."""
    return operations / (row.pes * machine.tcp_slices_per_pe * machine.tcp_vector_lanes * machine.tcp_clock)


@kernel
def drawn_bandwidth(limit, machine, pes):
    """Bytes/s that `pes` PEs read together from a memory whose own limit is `limit`.

    Engine limit and memory limit are joined by a p-norm, 1/B^p = 1/(pes b)^p + 1/M^p with p = contention_sharpness:
    1/2/4/8 streaming PEs of RNGD read 213/419/779/1297-1396 GB/s (swsok/heteropilot collective_probe.json).
    """
    asked = pes * machine.tcp_dma_bandwidth_per_pe * machine.tcp_clock * machine.tcp_dma_efficiency
    least, most = min(asked, limit), max(asked, limit)
    # Powers of the ratio of the two limits, at most 1, do not overflow as powers of the limits would.
    part = least / most if math.isfinite(most) else 0.0
    sharpness = machine.memory_contention_sharpness
    return least * (1.0 + part**sharpness) ** (-1.0 / sharpness)
