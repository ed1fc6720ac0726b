"""Energy of an operation on PIM units, command by command, and of the same bytes read by the host."""

from __future__ import annotations

import numpy as np

from npusim.compilation import kernel, record_type
from npusim.kernels.pim import clock_period, nominal_bits, operation_time, refresh_interval

PIM_ENERGY_DTYPE = record_type(
    [(name, np.float64) for name in ("activate", "column", "mac", "write", "io", "refresh", "background")]
)
"""Joules by command: rows opened, columns to the units, arithmetic, inputs written, pins, refresh, rest."""


@kernel
def weight_mac_energy(weight_bits, machine):
    """Joules of one multiply-accumulate in a unit."""
    bits = nominal_bits(weight_bits)
    if bits > 8.0:
        return machine.pim_energy_mac_16bit
    return machine.pim_energy_mac_8bit if bits == 8.0 else machine.pim_energy_mac_4bit


@kernel
def operation_energy(cost, weight_bits, machine, energy):
    """Fill `energy` (PIM_ENERGY_DTYPE) from the counts of a PIM cost, refresh and background over its time."""
    energy.activate = cost.activations * machine.pim_memory_energy_activate
    energy.column = cost.column_bytes * machine.pim_energy_column
    energy.mac = cost.macs * weight_mac_energy(weight_bits, machine)
    energy.write = cost.written_bytes * machine.pim_memory_energy_write
    energy.write += cost.read_bytes * machine.pim_memory_energy_read
    energy.io = (cost.written_bytes + cost.read_bytes) * machine.pim_memory_energy_io
    _add_rest(operation_time(cost, machine), machine, energy)


@kernel
def stream_energy(byte_count, time_s, machine, energy):
    """Fill `energy` for the host's reading of `byte_count` in whole rows, over `time_s`."""
    energy.activate = byte_count / machine.pim_memory_organisation_row * machine.pim_memory_energy_activate
    energy.column = byte_count * machine.pim_memory_energy_read
    energy.io = byte_count * machine.pim_memory_energy_io
    energy.mac = energy.write = 0.0
    _add_rest(time_s, machine, energy)


@kernel
def _add_rest(time_s, machine, energy):
    period = clock_period(machine)
    refreshes = time_s / (refresh_interval(machine) * period)
    ranks = machine.pim_channels * machine.pim_memory_organisation_ranks
    energy.refresh = refreshes * machine.pim_memory_energy_refresh * ranks
    energy.background = time_s * machine.pim_memory_energy_background * machine.pim_channels


@kernel
def of_commands(energy):
    """Joules of all commands without refresh and rest, which a chip's idle power holds."""
    return energy.activate + energy.column + energy.mac + energy.write + energy.io


@kernel
def total(energy):
    """Joules of all commands."""
    return of_commands(energy) + energy.refresh + energy.background
