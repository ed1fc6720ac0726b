"""Matrix-vector products and element-wise streams on PIM units.

Outputs are spread over channels, units and their accumulators; inputs come in tiles that fit the units' buffers.
Nothing is reused across a batch: each vector reads the weights again.
"""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.pim import (
    accumulators,
    bus_turns,
    clear,
    exposed_gap,
    external_bandwidth,
    mac_interval,
    mac_rate,
    mode_switch,
    nearest_power_of_two,
    row_columns,
    row_gap,
    units,
    write_to_mac,
)

_BITS = 8.0


@kernel
def matrix_vector(outputs, inputs, batch, weight_bits, activation_bits, machine, cost):
    """Fill `cost` (PIM_COST_DTYPE) with w[outputs, inputs] . x for `batch` vectors, refresh not included."""
    clear(cost)
    cost.mode = mode_switch(machine)
    add_products(outputs, inputs, batch, machine.pim_channels, 1.0, weight_bits, activation_bits, machine, cost)
    cost.fence_s += machine.pim_unit_fence_time * machine.pim_unit_fence_per_operation
    cost.read_bytes = outputs * batch * machine.pim_unit_reduction_output_bytes
    cost.host_read_s = cost.read_bytes / external_bandwidth(machine)


@kernel
def add_products(outputs, inputs, batch, channels, alike, weight_bits, activation_bits, machine, cost):
    """Add products over `channels` channels to `cost`, while `alike` such groups of channels compute the same."""
    groups, held_outputs = output_groups(outputs, channels, machine)
    held = nearest_power_of_two(machine.pim_unit_broadcast_buffer) * _BITS / activation_bits
    tiles = math.floor(inputs / held)
    rest = inputs - tiles * held
    everywhere = channels * alike
    _add_tiles(held, tiles * batch, groups, held_outputs, everywhere, weight_bits, activation_bits, machine, cost)
    if rest > 0.0:
        _add_tiles(rest, batch, groups, held_outputs, everywhere, weight_bits, activation_bits, machine, cost)
        tiles += 1
    written = groups * batch * (tiles if machine.pim_keeps_inputs else 1.0)
    cost.reduction += written * machine.pim_unit_reduction_time


@kernel
def output_groups(outputs, channels, machine):
    """Groups in which the outputs are computed, and how many each unit holds in one."""
    held = accumulators(machine)
    of_unit = math.ceil(outputs / (channels * units(machine)))
    groups = math.ceil(of_unit / held)
    return groups, math.ceil(of_unit / groups) if machine.pim_balances else held


@kernel
def _add_tiles(inputs, tiles, groups, held_outputs, channels, weight_bits, activation_bits, machine, cost):
    """Add `tiles` tiles of `inputs` inputs: each loaded, then multiplied for every group of `held_outputs` a unit."""
    access = machine.pim_memory_organisation_access
    interval = mac_interval(machine)
    loads = tiles * (1.0 if machine.pim_keeps_inputs else groups)
    runs = tiles * groups
    writes = math.ceil(inputs * activation_bits / _BITS / access)
    load = writes * machine.pim_unit_broadcast_interval + machine.pim_unit_broadcast_setup + bus_turns(machine)
    per_column = access * _BITS / weight_bits
    columns = math.ceil(inputs / per_column) * held_outputs
    macs = columns * max(1.0, per_column / mac_rate(weight_bits, activation_bits, machine))
    rows = math.ceil(columns / row_columns(machine))
    first = max(0.0, row_gap(machine) - load) if machine.pim_opens_early else exposed_gap(machine)
    cost.broadcast += loads * load
    cost.mac += runs * macs * interval
    cost.activation += runs * ((rows - 1.0) * exposed_gap(machine) + first)
    groups_of_macs = math.ceil(macs / machine.pim_unit_barrier_macs)
    cost.barrier += (loads + runs * groups_of_macs) * machine.pim_unit_barrier_time
    cost.fence_s += loads * machine.pim_unit_fence_per_load * machine.pim_unit_fence_time
    cost.activations += runs * rows * machine.pim_unit_activation_banks * channels
    cost.column_bytes += runs * columns * access * units(machine) * channels
    cost.written_bytes += loads * writes * access * channels
    cost.macs += runs * columns * per_column * units(machine) * channels


@kernel
def element_wise(elements, arrays, bits, machine, cost):
    """Fill `cost` with an element-wise operation on `elements`, of which `arrays` are read and one is written.

    Units read a group of columns of each array into their registers, then write a group back
    (SAITPublic/PIMSimulator@b464dde). With several arrays, results are in another row than the operands.
    """
    clear(cost)
    cost.mode = mode_switch(machine)
    access, group = machine.pim_memory_organisation_access, accumulators(machine)
    banks = machine.pim_channels * units(machine) * machine.pim_unit_streams_banks
    columns = elements * bits / _BITS / access / banks
    rounds = math.ceil(columns / group) * machine.pim_unit_streams_banks
    interval = mac_interval(machine)
    cost.mac = rounds * (arrays + 1.0) * group * interval
    turns = max(0.0, machine.pim_memory_timing_tRTW - interval) + max(0.0, write_to_mac(machine) - interval)
    cost.broadcast = rounds * turns
    row_changes = rounds if arrays > 1.0 else rounds * group / row_columns(machine)
    cost.activation = row_changes * exposed_gap(machine)
    cost.barrier = rounds * (arrays + 1.0) * machine.pim_unit_barrier_time
    cost.fence_s = machine.pim_unit_fence_time * machine.pim_unit_fence_per_operation
    cost.activations = row_changes * machine.pim_unit_activation_banks * machine.pim_channels
    cost.column_bytes = (arrays + 1.0) * elements * bits / _BITS
    cost.macs = elements * (arrays - 1.0)
