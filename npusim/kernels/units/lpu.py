"""An LPU: weights stream once past MAC trees that are as wide as the stream, and each tree sums an output.

Moon et al., "LPU: A Latency-Optimized and Highly Scalable Processor for Large Language Model Inference", arXiv
2408.07326: trees matched to the memory's rate, outputs that stay while weights and vectors stream, links that send
while products are computed (the fabric's overlap).
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
    """Streams through the trees, elements on the vector lanes; activations stay on the chip where they fit."""
    if row.kind == COLLECTIVE:
        return
    cost.overhead_s += machine.lpu_instruction_time
    if row.activation_bytes > machine.lpu_sram:
        cost.memory_s = stream_time(row.activation_bytes, row.activation_bytes, machine, 1.0)
    if row.kind == LINEAR:
        vectors = rows_of_each(row, 1.0)
        cost.contraction_s = trees_time(matrices_of(row), row.n, row.k, vectors, row.activation_dtype, machine)
        cost.memory_s += stream_time(row.weight_bytes, row.k * row.weight_bits / 8.0, machine, 1.0)
        cost.overhead_s += machine.lpu_pipeline / machine.lpu_clock
        if row.op == EXPERT_UP and runtime.paths_expert_execution[path] > 0.0:
            cost.overhead_s += runtime.paths_expert_execution[path]
    elif row.kind == ATTENTION:
        cost.contraction_s = _attention_time(row, machine)
        cost.vector_s = row.pairs * row.heads * softmax_passes(machine) / _lane_rate(machine)
        cost.memory_s += kv_stream_time(row, machine, runtime)
        cost.overhead_s += 2.0 * machine.lpu_pipeline / machine.lpu_clock + runtime.paths_attention_execution[path]
    elif row.kind == GATHER:
        cost.memory_s += stream_time(row.weight_bytes, row.n * row.weight_bits / 8.0, machine, 1.0)
    else:
        passes = of_op(
            row.op,
            machine.lpu_vector_passes_norm,
            machine.lpu_vector_passes_rope,
            machine.lpu_vector_passes_activation,
            machine.lpu_vector_passes_sample,
        )
        cost.vector_s = row.m * row.n * passes / _lane_rate(machine)


@kernel
def softmax_passes(machine):
    """Passes of the vector lanes over the scores."""
    return machine.lpu_vector_passes_softmax


@kernel
def lane_time(row, operations, machine):
    """Seconds of vector operations on elements that lie in memory before and after."""
    return operations / _lane_rate(machine)


@kernel
def trees_time(matrices, outputs, inputs, vectors, dtype, machine):
    """Seconds in which `matrices` matrices of outputs x inputs stream past the trees, for `vectors` vectors each.

    A set of trees takes a vector in a turn, and the same weights pass once for each turn; trees without an output and
    inputs beyond the last chunk idle.
    """
    rate = rate_of(
        dtype,
        machine.lpu_macs_per_input_bf16,
        machine.lpu_macs_per_input_fp8,
        machine.lpu_macs_per_input_int8,
        machine.lpu_macs_per_input_int4,
        machine.lpu_macs_per_input_nvfp4,
    )
    turns = math.ceil(vectors / machine.lpu_tree_sets)
    steps = math.ceil(outputs / machine.lpu_trees) * math.ceil(inputs / machine.lpu_tree_inputs)
    return matrices * turns * steps / (rate * machine.lpu_clock * machine.lpu_tree_efficiency)


@kernel
def _attention_time(row, machine):
    """Keys stream past the trees for the scores, then values for their sums."""
    heads, reach = row.batch * row.kv_heads, row.kv_tokens / row.batch
    values = row.value_dim if row.value_dim > 0.0 else row.head_dim
    vectors, dtype = vectors_of_each_key(row, machine.lpu_trees), row.activation_dtype
    scores = trees_time(heads, reach, row.head_dim, vectors, dtype, machine)
    return scores + trees_time(heads, values, reach, vectors, dtype, machine)


@kernel
def _lane_rate(machine):
    return machine.lpu_vector_lanes * machine.lpu_clock
