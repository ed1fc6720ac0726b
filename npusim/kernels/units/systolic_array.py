"""Weight-stationary systolic arrays: a tile of weights stays in the cells while activations pass, a row each cycle.

Jouppi et al., "In-Datacenter Performance Analysis of a Tensor Processing Unit", ISCA 2017; "Ten Lessons From Three
Generations Shaped Google's TPUv4i", ISCA 2021.
"""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.memory import kv_stream_time, stream_time
from npusim.kernels.rates import of_op, rate_of
from npusim.kernels.shapes import matrices_of, rows_of_each, vectors_of_each_key
from npusim.mapping.optable import ATTENTION, COLLECTIVE, EXPERT_UP, GATHER, LINEAR


@kernel
def cost_row(row, machine, runtime, path, cost):
    """Tiles on the arrays, elements on the vector lanes, weights from memory, activations in the chip's own memory."""
    if row.kind == COLLECTIVE:
        return
    cost.memory_s = _activation_time(row, machine)
    if row.kind == LINEAR:
        cost.contraction_s = _product_time(row, machine)
        cost.memory_s += stream_time(row.weight_bytes, row.k * row.weight_bits / 8.0, machine, 1.0)
        cost.overhead_s += machine.systolic_transfer_start
        if row.op == EXPERT_UP and runtime.paths_expert_execution[path] > 0.0:
            cost.overhead_s += runtime.paths_expert_execution[path]
    elif row.kind == ATTENTION:
        cost.contraction_s = _attention_time(row, machine)
        cost.vector_s = row.pairs * row.heads * softmax_passes(machine) / _lane_rate(machine)
        cost.memory_s += kv_stream_time(row, machine, runtime)
        cost.overhead_s += machine.systolic_transfer_start + runtime.paths_attention_execution[path]
    elif row.kind == GATHER:
        cost.memory_s += stream_time(row.weight_bytes, row.n * row.weight_bits / 8.0, machine, 1.0)
        cost.overhead_s += machine.systolic_transfer_start
    else:
        passes = of_op(
            row.op,
            machine.systolic_vector_passes_norm,
            machine.systolic_vector_passes_rope,
            machine.systolic_vector_passes_activation,
            machine.systolic_vector_passes_sample,
        )
        cost.vector_s = row.m * row.n * passes / _lane_rate(machine)


@kernel
def softmax_passes(machine):
    """Passes of the vector lanes over the scores."""
    return machine.systolic_vector_passes_softmax


@kernel
def lane_time(row, operations, machine):
    """Seconds of vector operations on elements that lie in memory before and after."""
    return operations / _lane_rate(machine)


@kernel
def tiles_time(tiles, vectors, dtype, machine):
    """Seconds in which the arrays take `tiles` tiles of weights, through each of which `vectors` vectors pass.

    The next tile's weights enter row by row while vectors pass, so that a tile takes its rows' cycles at least; the
    first vector fills an array and the last one leaves it through all rows and columns.
    """
    rows = machine.systolic_array_rows
    rate = rate_of(
        dtype,
        machine.systolic_macs_per_cell_bf16,
        machine.systolic_macs_per_cell_fp8,
        machine.systolic_macs_per_cell_int8,
        machine.systolic_macs_per_cell_int4,
        machine.systolic_macs_per_cell_nvfp4,
    )
    turns = math.ceil(tiles / machine.systolic_arrays)
    cycles = turns * max(vectors, rows) / rate + rows + machine.systolic_array_columns
    return cycles / (machine.systolic_clock * machine.systolic_array_efficiency)


@kernel
def _product_time(row, machine):
    of_matrix = math.ceil(row.k / machine.systolic_array_rows) * math.ceil(row.n / machine.systolic_array_columns)
    vectors = rows_of_each(row, machine.systolic_row_granule)
    return tiles_time(matrices_of(row) * of_matrix, vectors, row.activation_dtype, machine)


@kernel
def _attention_time(row, machine):
    """Keys stay in the cells while queries pass, then values while the scores pass."""
    rows, columns = machine.systolic_array_rows, machine.systolic_array_columns
    heads, reach = row.batch * row.kv_heads, row.kv_tokens / row.batch
    values = row.value_dim if row.value_dim > 0.0 else row.head_dim
    scores = math.ceil(row.head_dim / rows) * math.ceil(reach / columns)
    sums = math.ceil(reach / rows) * math.ceil(values / columns)
    vectors = vectors_of_each_key(row, columns)
    return tiles_time(heads * (scores + sums), vectors, row.activation_dtype, machine)


@kernel
def _activation_time(row, machine):
    """Seconds to move activations through the chip's own memory, or through main memory where they are larger."""
    if row.activation_bytes <= machine.systolic_sram:
        return row.activation_bytes / machine.systolic_sram_bandwidth
    return stream_time(row.activation_bytes, row.activation_bytes, machine, 1.0)


@kernel
def _lane_rate(machine):
    return machine.systolic_vector_lanes * machine.systolic_clock
