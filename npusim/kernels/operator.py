"""The cost of one operator on one machine: seconds per resource, joules."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel
from npusim.hardware.collectives import OPERATIONS
from npusim.hardware.machine import UNIT_CONTRACTION_PROCESSOR
from npusim.kernels.attention import kv_copies, kv_stream_time, prompt_parts, shared_heads_time, slice_attention_times
from npusim.kernels.collective import collective_time
from npusim.kernels.contraction import product_time, slice_contraction_time
from npusim.kernels.gpu_attention import gpu_attention_times
from npusim.kernels.gpu_grouped import gpu_grouped_times
from npusim.kernels.gpu_linear import given, gpu_linear_times
from npusim.kernels.lookahead import exposed_reduction_time
from npusim.kernels.memory import activation_time, stream_time
from npusim.kernels.pim_offload import layout_loss, may_run, offload_if_faster
from npusim.kernels.power import compute_energy, transfer_energy
from npusim.kernels.vector import first_time, program_time, vector_time
from npusim.mapping.grouped import joined_rows, row_blocks
from npusim.mapping.optable import (
    ABSORB,
    ATTENTION,
    CAST,
    COLLECTIVE,
    COMBINE,
    CONCAT,
    EXPERT_DOWN,
    EXPERT_UP,
    GATHER,
    LINEAR,
    OP_NAMES,
    SPLIT_ROWS,
)
from npusim.mapping.specialise import latent_library

_OPERATION = np.array([OPERATIONS.index(name) if name in OPERATIONS else -1 for name in OP_NAMES])
"""The collective that an operator is, by its code."""

OPERATOR_COST_DTYPE = np.dtype(
    [
        ("repeat", np.int64),
        ("contraction_s", np.float64),
        ("vector_s", np.float64),
        ("memory_s", np.float64),
        ("pim_s", np.float64),
        ("link_s", np.float64),
        ("overhead_s", np.float64),
        ("macs", np.float64),
        ("compute_j", np.float64),
        ("transfer_j", np.float64),
    ]
)


@kernel
def cost_operator(row, machine, runtime, path, cost):
    """Fill `cost` (OPERATOR_COST_DTYPE) for one specialised row; `path` is the index of the step's path.

    macs counts those done on padding too, where the kernel does them. link_s and overhead_s are what remains after what
    hides under the operator's arithmetic or memory stream: the part that the path states, or, where it states none,
    what the queues of a contraction processor make of it (`fetch_ahead` takes its share off later).
    """
    cost.repeat = row.repeat
    cost.contraction_s = cost.vector_s = cost.memory_s = cost.pim_s = cost.link_s = 0.0
    cost.overhead_s = runtime.paths_operator_launch[path]
    cost.macs = row.flops / 2.0
    if machine.unit_kind == UNIT_CONTRACTION_PROCESSOR:
        _on_contraction_processor(row, machine, runtime, path, cost)
    else:
        _on_gpu(row, machine, runtime, path, cost)
    if row.kind == COLLECTIVE:
        cost.link_s = row_collective_time(row, machine)
    cost.memory_s *= layout_loss(row, machine, runtime)
    if not math.isnan(runtime.paths_hidden[path]):
        _hide(cost, runtime.paths_hidden[path])
    cost.compute_j = compute_energy(row, cost.macs, machine)
    kv_reads = kv_copies(row, machine, runtime.pe_fusion) if row.kind == ATTENTION else 1.0
    cost.transfer_j = transfer_energy(row, kv_reads, machine)
    if may_run(row, machine):
        offload_if_faster(row, machine, runtime, path, cost)


@kernel
def further_matrices_time(row, machine, runtime, path):
    """Fixed seconds of the matrices of a grouped product after its first: they run one after the other.

    A matrix of a row of its own costs a command and a launch; one that several rows may share, what it takes to pick
    them and to put their results in place. Heads' own matrices are one tensor, of which every row's place is known: one
    product with a batch dimension.
    """
    if row.matrices <= 0.0 or row.op == ABSORB:
        return 0.0
    alone = machine.tcp_dma_command + runtime.paths_operator_launch[path]
    return (row.touched - 1.0) * (alone if row.paired > 0.0 else machine.tcp_matrix_switch)


@kernel
def row_collective_time(row, machine):
    """Seconds of a COLLECTIVE row over its group of chips."""
    return collective_time(_OPERATION[row.op], row.collective_bytes, row.group, machine)


@kernel
def _hide(cost, part):
    """Fixed times of which `part` hides under the operator's arithmetic or memory stream, as far as these last."""
    fixed = cost.link_s + cost.overhead_s
    if fixed > 0.0:
        busy = max(cost.contraction_s + cost.vector_s, cost.memory_s)
        left = 1.0 - part * min(fixed, busy) / fixed
        cost.link_s *= left
        cost.overhead_s *= left


@kernel
def _on_contraction_processor(row, machine, runtime, path, cost):
    pes = runtime.pe_fusion
    if row.kind == LINEAR:
        matrices = row.touched if row.matrices > 0.0 else 1.0
        rows = row_blocks(row, machine.tcp_lanes) * machine.tcp_lanes / matrices
        columns = matrices * row.n
        cost.contraction_s = slice_contraction_time(rows, columns, row.k, row.activation_dtype, row.split, machine, pes)
        cost.memory_s = stream_time(row.weight_bytes, row.k * row.weight_bits / 8.0, machine, pes)
        busy = max(cost.contraction_s, cost.memory_s)
        seconds, tiles = product_time(cost.contraction_s, cost.memory_s, row.weight_bytes, 0.0, machine, pes)
        cost.overhead_s += seconds - busy + further_matrices_time(row, machine, runtime, path)
        if row.split == SPLIT_ROWS:
            cost.link_s = exposed_reduction_time(2.0 * joined_rows(row) * row.n, busy, tiles, machine, pes)
    elif row.kind == ATTENTION:
        cost.contraction_s, cost.vector_s = slice_attention_times(row, machine, pes)
        cost.memory_s = kv_stream_time(row, machine, runtime)
        cost.overhead_s += prompt_parts(row) * runtime.paths_attention_execution[path]
        cost.overhead_s += machine.tcp_vector_programs_softmax * machine.tcp_program_time
        cost.link_s = shared_heads_time(row, machine, pes)
    elif row.kind == GATHER:
        cost.memory_s = stream_time(row.weight_bytes, row.n * row.weight_bits / 8.0, machine, pes)
        cost.overhead_s += machine.tcp_dma_command
    elif row.kind != COLLECTIVE:
        cost.vector_s = vector_time(row, machine, pes)
        cost.overhead_s += program_time(row, machine)
    if row.kind != COLLECTIVE and not runtime.activations_in_sram:
        cost.memory_s += stream_time(row.activation_bytes, machine.memory_access_unit, machine, pes)
        cost.overhead_s += machine.tcp_dma_startup / machine.tcp_clock


@kernel
def _on_gpu(row, machine, runtime, path, cost):
    if row.op == EXPERT_UP and runtime.paths_expert_execution[path] > 0.0:
        cost.overhead_s += runtime.paths_expert_execution[path]
    if row.op in (EXPERT_UP, EXPERT_DOWN):
        cost.contraction_s, cost.memory_s, fixed, cost.macs = gpu_grouped_times(row, machine)
        cost.overhead_s += fixed
    elif row.kind == LINEAR:
        cost.contraction_s, cost.memory_s, fixed = gpu_linear_times(row, machine)
        cost.overhead_s += fixed
    elif row.kind == ATTENTION:
        cost.contraction_s, fixed, cost.macs = gpu_attention_times(row, machine)
        kv_part = given(machine.gpu_attention_stream_efficiency[row.library], 1.0)
        cost.memory_s = kv_stream_time(row, machine, runtime) / kv_part + activation_time(row, machine)
        cost.overhead_s += runtime.paths_attention_execution[path] + fixed
    elif row.kind != COLLECTIVE:
        cost.overhead_s += machine.gpu_vector_launch[row.library]
        cost.memory_s = activation_time(row, machine)
        if row.kind == GATHER:
            cost.memory_s += stream_time(row.weight_bytes, row.n * row.weight_bits / 8.0, machine, 1.0)
        else:
            if row.op == CAST:
                cost.memory_s /= machine.gpu_linear_cast_efficiency[runtime.linear_library]
            elif row.op == CONCAT:
                cost.memory_s /= machine.gpu_attention_join_efficiency[latent_library(row, runtime)]
            elif row.op == COMBINE:
                cost.memory_s /= machine.gpu_grouped_sum_efficiency[runtime.grouped_library]
            cost.vector_s = vector_time(row, machine, 1.0)
            cost.overhead_s += first_time(row, machine)
