"""Runs an operator on PIM units instead of the NPU where that is faster, all its costs included."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel, kernel_by_record
from npusim.dtypes import BF16, INT4, INT8
from npusim.hardware.machine import is_with_pim
from npusim.kernels.memory import stream_time
from npusim.kernels.pim import PIM_COST_DTYPE, add_mean_refresh, mac_rate, nominal_bits, operation_time
from npusim.kernels.pim_attention import decode_attention
from npusim.kernels.pim_energy import PIM_ENERGY_DTYPE, of_commands, operation_energy
from npusim.kernels.pim_linear import matrix_vector
from npusim.kernels.unit import softmax_passes, softmax_time
from npusim.mapping.optable import LINEAR, LM_HEAD, UNIT_PIM


@kernel
def _layout_loss(row, machine, runtime):
    """Factor on the host's time to read a row's weights whose only copy is laid out for the units; else 1.

    PIM-SHERPA (arXiv 2603.09216): such weights are neither cacheable nor contiguous for the host.
    """
    if row.kind != LINEAR or runtime.offload_copies or not _may_run(row, machine):
        return 1.0
    return 1.0 + _part(row, runtime) * (1.0 / machine.pim_sharing_host_layout_efficiency - 1.0)


@kernel
def _part(row, runtime):
    """Fraction of a row's columns that the units compute: all, or of the LM head what the runtime gives them."""
    return runtime.offload_head if row.op == LM_HEAD else 1.0


@kernel
def _may_run(row, machine):
    """True where the row is offered to the units and they multiply its types."""
    if row.device & UNIT_PIM == 0:
        return False
    if row.kind == LINEAR:
        known = row.weight_dtype == BF16 or row.weight_dtype == INT8 or row.weight_dtype == INT4
        return known and not math.isnan(mac_rate(row.weight_bits, row.activation_bits, machine))
    return not math.isnan(mac_rate(row.kv_bits, _score_bits(row, machine), machine))


@kernel
def _score_bits(row, machine):
    """Bits of queries and scores: 16, or those of KV where the units cannot multiply mixed types."""
    wide = row.activation_bits
    return nominal_bits(row.kv_bits) if math.isnan(mac_rate(row.kv_bits, wide, machine)) else wide


@kernel
def _offload(row, machine, runtime, path, cost):
    """As `offload`. The units compute the fraction of the LM head that the runtime gives them, before or after the
    NPU's."""
    if not _may_run(row, machine):
        return
    operation = np.zeros(1, PIM_COST_DTYPE)[0]
    part = _part(row, runtime)
    if row.kind == LINEAR:
        bits = row.weight_bits
        matrix_vector(
            math.ceil(part * row.n), row.k, row.m, bits, nominal_bits(row.activation_bits), machine, operation
        )
    else:
        bits = nominal_bits(row.kv_bits)
        reach = row.kv_tokens / row.batch
        heads = row.batch * row.heads
        decode_attention(heads, row.head_dim, reach, bits, _score_bits(row, machine), machine, operation)
    add_mean_refresh(operation, machine)
    units_s = operation_time(operation, machine)
    vector_s = 0.0 if row.kind == LINEAR or machine.pim_softmax_in_memory else softmax_time(row, machine, runtime)
    written_s = stream_time(row.kv_write_bytes, row.kv_write_bytes, machine, row.pes)
    launch_s = runtime.paths_operator_launch[path]
    rest = 1.0 - part
    rest_s = rest * cost.memory_s / _layout_loss(row, machine, runtime)
    # The NPU computes its fraction of the LM head before or after the units, not beside them.
    there = units_s + max(vector_s, written_s) + launch_s + max(rest * cost.contraction_s, rest_s)
    here = max(cost.contraction_s + cost.vector_s, cost.memory_s) + cost.link_s + cost.overhead_s
    if there >= here:
        return
    cost.pim_s, cost.overhead_s = units_s, launch_s
    cost.contraction_s *= rest
    cost.link_s *= rest
    cost.vector_s, cost.memory_s = vector_s, written_s + rest_s
    energy = np.zeros(1, PIM_ENERGY_DTYPE)[0]
    operation_energy(operation, bits, machine, energy)
    cost.macs *= rest
    cost.compute_j *= rest
    cost.vector_j *= rest
    if vector_s > 0.0:
        cost.compute_j = cost.vector_j = row.kv_tokens * row.heads * softmax_passes(machine) * machine.power_vector_op
    kept_j = rest * cost.transfer_j if row.kind == LINEAR else cost.write_j
    cost.transfer_j = of_commands(energy) + kept_j
    cost.pim_activate_j, cost.pim_column_j, cost.pim_mac_j = energy.activate, energy.column, energy.mac
    cost.pim_io_j = energy.write + energy.io
    cost.link_j *= rest
    cost.write_j *= rest if row.kind == LINEAR else 1.0


@kernel
def _beside_host(machine):
    return machine.pim_sharing_beside_host if machine.pim_maps_linear or machine.pim_maps_attention else 0.0


def _with_units(kernel_with_units):
    """The function below it for machines whose memory has no units, `kernel_with_units` for the others."""

    def decorate(contract):
        def choose(fields):
            return kernel_with_units if is_with_pim(fields) else contract

        return kernel_by_record("machine", choose)(contract)

    return decorate


@_with_units(_layout_loss)
def layout_loss(row, machine, runtime):
    """Factor on the host's time to read weights that are laid out for units in memory; 1 without such units."""
    return 1.0


@_with_units(_offload)
def offload(row, machine, runtime, path, cost):
    """Put the row on the units in memory if it takes less time there; `cost` holds its time on the NPU."""


@_with_units(_beside_host)
def beside_host(machine):
    """Fraction of the host's memory time that can overlap with units that hold the banks."""
    return 0.0
