"""Runs an operator on PIM units instead of the NPU where that is faster, all its costs included."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel, kernel_by_record
from npusim.dtypes import BF16, INT4, INT8
from npusim.hardware.machine import is_with_pim
from npusim.kernels.memory import stream_time
from npusim.kernels.pim import PIM_COST_DTYPE, add_mean_refresh, clock_period, mac_rate, nominal_bits, operation_time
from npusim.kernels.pim_attention import decode_attention
from npusim.kernels.pim_energy import PIM_ENERGY_DTYPE, of_commands, operation_energy
from npusim.kernels.pim_linear import matrix_vector
from npusim.kernels.unit import lane_time, softmax_launch, softmax_passes
from npusim.mapping.optable import ATTENTION, LINEAR, LM_HEAD, UNIT_NPU, UNIT_PIM

PRODUCTS, HEADS = 1, 2
"""Kinds of operators that units in memory run, as bits."""


@kernel
def _layout_loss(row, machine, runtime):
    """Factor on the host's time for a row whose weights or KV have one copy, which is laid out for the units; else 1.

    PIM-SHERPA (arXiv 2603.09216): such data are neither cacheable nor contiguous for the host. Prompts write and read
    the same KV cache as decoding. Where the layout is open, each matrix lies as whoever computes it needs it.
    """
    if runtime.offload_open or not _lies_for_units(row, machine, runtime):
        return 1.0
    return 1.0 + _part(row, runtime) * (1.0 / machine.pim_sharing_host_layout_efficiency - 1.0)


@kernel
def _lies_for_units(row, machine, runtime):
    """Whether the only copy of a row's weights or KV is laid out for the units, whoever computes the row."""
    if row.kind == LINEAR:
        whole = row.units & UNIT_PIM and row.matrices == 0.0 and _part(row, runtime) > 0.0
        return whole and runtime.offload_linear and not runtime.offload_copies and _multiplies(row, machine)
    plain = row.kind == ATTENTION and row.latent == 0.0 and row.units & UNIT_PIM != 0
    return plain and runtime.offload_attention and _multiplies(row, machine)


@kernel
def _left_by_host(machine):
    """Fraction of the memory's time that a host which shares it leaves to the chip: work-conserving channels serve both
    in turn, so that each transfer of the chip lasts one over it as long."""
    return 1.0 - machine.memory_host_share


@kernel
def _part(row, runtime):
    """Fraction of a row's columns that the units compute: all, or of the LM head what the runtime gives them."""
    return runtime.offload_head if row.op == LM_HEAD else 1.0


@kernel
def _may_run(row, machine):
    """True where the row is offered to the units and they multiply its types."""
    return row.device & UNIT_PIM != 0 and _multiplies(row, machine)


@kernel
def _multiplies(row, machine):
    """True where the units multiply a row's types."""
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
def _cast_elements(row, machine):
    """Elements that the chip converts for the units: what it hands over, where they take another type than it has.

    Queries and scores of attention in the type of KV; BF16 activations as FP16, and results back.
    """
    if row.kind == LINEAR:
        as_fp16 = nominal_bits(row.activation_bits) > 8.0 and nominal_bits(row.weight_bits) > 8.0
        return row.m * (row.k + row.n) if as_fp16 and math.isnan(machine.pim_unit_mac_rates_bf16) else 0.0
    if _score_bits(row, machine) == row.activation_bits:
        return 0.0
    return row.batch * row.heads * row.head_dim + row.kv_tokens * row.heads


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
    units_s = operation_time(operation, machine) / _left_by_host(machine)
    scores = row.kv_tokens * row.heads if row.kind == ATTENTION and not machine.pim_softmax_in_memory else 0.0
    on_chip = scores * softmax_passes(machine) + _cast_elements(row, machine)
    vector_s = lane_time(row, on_chip, machine)
    written_s = stream_time(row.kv_write_bytes, row.kv_write_bytes, machine, row.pes)
    written_s *= _layout_loss(row, machine, runtime)
    launch_s = runtime.paths_operator_launch[path]
    if scores > 0.0:
        # The units are called for the scores and for the context, the chip for the softmax between.
        launch_s = 3.0 * launch_s + softmax_launch(machine)
    rest = 1.0 - part
    rest_s = rest * cost.memory_s / _layout_loss(row, machine, runtime)
    # The NPU computes its fraction of the LM head before or after the units, not beside them.
    there = units_s + max(vector_s, written_s) + launch_s + max(rest * cost.contraction_s, rest_s)
    here = max(cost.contraction_s + cost.vector_s, cost.memory_s) + cost.link_s + cost.overhead_s
    if there >= here:
        return
    cost.pim_s, cost.overhead_s = units_s, launch_s
    cost.pim_mode_s = operation.mode * clock_period(machine) / _left_by_host(machine)
    cost.contraction_s *= rest
    cost.link_s *= rest
    cost.vector_s, cost.memory_s = vector_s, written_s + rest_s
    energy = np.zeros(1, PIM_ENERGY_DTYPE)[0]
    operation_energy(operation, bits, machine, energy)
    cost.macs *= rest
    # What units read in the banks does not pass the pins; inputs and results do.
    cost.fetched = operation.read_bytes + (rest * cost.fetched if row.kind == LINEAR else 0.0)
    cost.stored += operation.written_bytes
    kept = rest if row.kind == LINEAR else 0.0
    cost.vector_j = kept * cost.vector_j + on_chip * machine.power_vector_op
    cost.compute_j = kept * cost.compute_j + on_chip * machine.power_vector_op
    kept_j = rest * cost.transfer_j if row.kind == LINEAR else cost.write_j
    cost.transfer_j = of_commands(energy) + kept_j
    cost.pim_activate_j, cost.pim_column_j, cost.pim_mac_j = energy.activate, energy.column, energy.mac
    cost.pim_io_j = energy.write + energy.io
    cost.link_j *= rest
    cost.write_j *= rest if row.kind == LINEAR else 1.0


@kernel
def _kinds_on_units(rows, count, costs, machine):
    """As `kinds_on_units`."""
    found = 0
    for index in range(count):
        if costs[index].pim_s > 0.0:
            found |= PRODUCTS if rows[index].kind == LINEAR else HEADS
    return found


@kernel
def keep_on_units(rows, count, offered, kept):
    """Offer the rows to the units as `offered` says, but only those of the kinds `kept`."""
    for index in range(count):
        kind = PRODUCTS if rows[index].kind == LINEAR else HEADS
        rows[index].device = offered[index] if kept & kind else offered[index] & UNIT_NPU


@kernel
def _beside_host(machine):
    return machine.pim_sharing_beside_host if machine.pim_maps_linear or machine.pim_maps_attention else 0.0


def with_units(kernel_with_units):
    """The function below it for machines whose memory has no units, `kernel_with_units` for the others."""

    def decorate(contract):
        def choose(fields):
            return kernel_with_units if is_with_pim(fields) else contract

        return kernel_by_record("machine", choose)(contract)

    return decorate


@with_units(_layout_loss)
def layout_loss(row, machine, runtime):
    """Factor on the host's time to read weights or KV that are laid out for units in memory; 1 without such units."""
    return 1.0


@with_units(_offload)
def offload(row, machine, runtime, path, cost):
    """Put the row on the units in memory if it takes less time there; `cost` holds its time on the NPU."""


@with_units(_kinds_on_units)
def kinds_on_units(rows, count, costs, machine):
    """What of a costed step runs on units in memory: PRODUCTS, HEADS, both or none."""
    return 0


@with_units(_beside_host)
def beside_host(machine):
    """Fraction of the host's memory time that can overlap with units that hold the banks."""
    return 0.0
