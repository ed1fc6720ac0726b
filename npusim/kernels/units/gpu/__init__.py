"""A GPU: what each operator costs in the kernels of its libraries."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.kernels.memory import stream_time
from npusim.kernels.rates import given
from npusim.kernels.units.gpu.attention import BITS_OF_QUERIES, attention_times, attention_waves
from npusim.kernels.units.gpu.grouped import grouped_times
from npusim.kernels.units.gpu.keys import kv_time
from npusim.kernels.units.gpu.linear import activation_time, fastest_tiles, linear_times
from npusim.kernels.units.gpu.vector import first_time, gpu_vector_time
from npusim.mapping.optable import (
    ATTENTION,
    CAST,
    COLLECTIVE,
    COMBINE,
    CONCAT,
    EXPERT_DOWN,
    EXPERT_UP,
    GATHER,
    LINEAR,
)
from npusim.mapping.specialise import latent_library


@kernel
def cost_row(row, machine, runtime, path, cost):
    """Seconds of a row by the kernel of its library, with the fixed times of the kernel."""
    if row.op == EXPERT_UP and runtime.paths_expert_execution[path] > 0.0:
        cost.overhead_s += runtime.paths_expert_execution[path]
    if row.op in (EXPERT_UP, EXPERT_DOWN):
        cost.contraction_s, cost.memory_s, fixed, cost.macs = grouped_times(row, machine)
        cost.overhead_s += fixed
    elif row.kind == LINEAR:
        cost.contraction_s, cost.memory_s, fixed = linear_times(row, machine)
        cost.macs *= given(machine.gpu_linear_product_energy[row.library], 1.0)
        cost.overhead_s += fixed
    elif row.kind == ATTENTION:
        cost.contraction_s, fixed, cost.macs = attention_times(row, machine)
        kv_s, saved = kv_time(row, machine, runtime)
        cost.memory_s = kv_s + activation_time(row, machine)
        cost.fetched -= saved
        cost.overhead_s += runtime.paths_attention_execution[path] + fixed
        if row.kv_bits < BITS_OF_QUERIES:
            cost.overhead_s += given(runtime.paths_query_cast[path], 0.0)
    elif row.kind != COLLECTIVE:
        cost.overhead_s += machine.gpu_vector_launch[row.library]
        cost.memory_s = activation_time(row, machine)
        if row.kind == GATHER:
            cost.memory_s += stream_time(row.weight_bytes, row.n * row.weight_bits / 8.0, machine, 1.0)
        else:
            if row.op == CAST:
                cost.memory_s /= machine.gpu_linear_cast_efficiency[runtime.linear_fp8_library]
            elif row.op == CONCAT:
                cost.memory_s /= machine.gpu_attention_join_efficiency[latent_library(row, runtime)]
            elif row.op == COMBINE:
                cost.memory_s /= machine.gpu_grouped_sum_efficiency[runtime.grouped_library]
            cost.vector_s = gpu_vector_time(row, machine)
            cost.overhead_s += first_time(row, machine)


@kernel
def waves(row, machine):
    """Waves of tiles or blocks over the SMs."""
    if row.kind == ATTENTION:
        return float(attention_waves(row, machine))
    if row.kind == LINEAR and row.op not in (EXPERT_UP, EXPERT_DOWN):
        return float(fastest_tiles(row, machine)[3])
    return 1.0


@kernel
def softmax_passes(machine):
    """Passes of the vector lanes over the scores."""
    return machine.gpu_vector_passes_softmax
