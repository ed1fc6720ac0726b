"""Commands of a memory with PIM units: what each costs in command clocks, and the refresh around them.

Every time is built from the memory's own timings, so that the same unit can be put into another memory.
"""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel, record_type

PIM_COST_DTYPE = record_type(
    [
        ("broadcast", np.float64),
        ("mac", np.float64),
        ("activation", np.float64),
        ("reduction", np.float64),
        ("mode", np.float64),
        ("barrier", np.float64),
        ("refresh", np.float64),
        ("fence_s", np.float64),
        ("host_read_s", np.float64),
        ("activations", np.float64),
        ("column_bytes", np.float64),
        ("written_bytes", np.float64),
        ("read_bytes", np.float64),
        ("macs", np.float64),
    ]
)
"""Clocks of each cost, seconds that the host adds, and counts for the energy, of all channels together."""


@kernel
def clear(cost):
    """Set every part of a PIM cost to zero."""
    cost.broadcast = cost.mac = cost.activation = cost.reduction = cost.mode = cost.barrier = cost.refresh = 0.0
    cost.fence_s = cost.host_read_s = 0.0
    cost.activations = cost.column_bytes = cost.written_bytes = cost.read_bytes = cost.macs = 0.0


@kernel
def clock_period(machine):
    """Seconds of a command clock."""
    bits_per_byte = 8.0
    return machine.pim_memory_transfers_per_clock / (machine.pim_memory_data_rate * bits_per_byte)


@kernel
def burst_clocks(machine):
    """Clocks for which one access occupies the data pins."""
    return machine.pim_memory_organisation_burst_length / machine.pim_memory_transfers_per_clock


@kernel
def external_bandwidth(machine):
    """Bytes/s of all channels that the host sees."""
    return machine.pim_channels * machine.pim_memory_peak_bandwidth


@kernel
def mac_interval(machine):
    """Clocks between two MAC commands, stretched where a power limit holds (AttAcc, ASPLOS 2024: nCCDAB 4 -> 6).

    The limit is a factor, or a power that the commands of a channel may draw: one in the time of its own energy.
    """
    interval = machine.pim_unit_mac_interval * machine.pim_unit_mac_power_factor
    if math.isnan(machine.pim_controller_power_budget):
        return interval
    return max(interval, command_energy(machine) / machine.pim_controller_power_budget / clock_period(machine))


@kernel
def command_energy(machine):
    """Joules of one MAC command of a channel: its share of the rows, columns to all units, their arithmetic.

    In the type that takes the most of those which the units multiply, for which a controller has to be made.
    """
    access = machine.pim_memory_organisation_access
    rows = machine.pim_unit_activation_banks * machine.pim_memory_energy_activate / row_columns(machine)
    arithmetic = access * machine.pim_energy_mac_8bit
    if not (math.isnan(machine.pim_unit_mac_rates_bf16) and math.isnan(machine.pim_unit_mac_rates_fp16)):
        arithmetic = max(arithmetic, access / 2.0 * machine.pim_energy_mac_16bit)
    return rows + units(machine) * (access * machine.pim_energy_column + arithmetic)


@kernel
def refresh_interval(machine):
    """Clocks between two refreshes: tREFI, and less where the memory is hot (JEDEC doubles the rate above 85 C)."""
    return machine.pim_memory_timing_tREFI / machine.pim_refresh_hot_rate


@kernel
def mac_rate(weight_bits, activation_bits, machine):
    """Multiply-accumulates of one unit per MAC command; NaN where the unit cannot multiply the pair."""
    weights = nominal_bits(weight_bits)
    if nominal_bits(activation_bits) > 8.0:
        if weights < 8.0:
            return machine.pim_unit_mac_rates_w4a16
        if weights == 8.0:
            return machine.pim_unit_mac_rates_w8a16
        bf16 = machine.pim_unit_mac_rates_bf16
        return machine.pim_unit_mac_rates_fp16 if math.isnan(bf16) else bf16
    return machine.pim_unit_mac_rates_w4a8 if weights < 8.0 else machine.pim_unit_mac_rates_int8


@kernel
def nominal_bits(stored_bits):
    """4, 8 or 16: bits of an element without its share of the scales that are stored beside it."""
    # Scales add less than half of an element, so the bounds lie halfway between the formats.
    if stored_bits < 6.0:
        return 4.0
    return 8.0 if stored_bits < 12.0 else 16.0


@kernel
def nearest_power_of_two(value):
    """Units and registers come in powers of two: a number between two of them means the nearer."""
    return 2.0 ** round(math.log2(value))


@kernel
def units(machine):
    """Units of a channel that work at once."""
    return nearest_power_of_two(machine.pim_unit_mac_units)


@kernel
def accumulators(machine):
    """Outputs that a unit holds."""
    return nearest_power_of_two(machine.pim_unit_reduction_accumulators)


@kernel
def row_columns(machine):
    """Accesses of one row of a bank."""
    return machine.pim_memory_organisation_row / machine.pim_memory_organisation_access


@kernel
def row_gap(machine):
    """Clocks from the last MAC of a row to the first of the next: tRTP + tRP + opening all banks + tRCD.

    One command opens `banks_per_command` banks; tRRD and tFAW hold between commands (JESD79).
    """
    precharge = machine.pim_memory_timing_tRPab
    if math.isnan(precharge):
        precharge = machine.pim_memory_timing_tRP
    to_mac = machine.pim_unit_activation_to_mac
    if math.isnan(to_mac):
        to_mac = machine.pim_memory_timing_tRCDRD
    commands = math.ceil(machine.pim_unit_activation_banks / machine.pim_unit_activation_banks_per_command)
    # Four activations a window of tFAW are one each tFAW / 4.
    between = max(machine.pim_memory_timing_tRRD_S, machine.pim_memory_timing_tFAW / 4.0)
    return machine.pim_memory_timing_tRTP + precharge + (commands - 1.0) * between + to_mac


@kernel
def exposed_gap(machine):
    """Clocks that one row change adds to a run of MACs, of which interleaved banks hide their own columns."""
    interval = mac_interval(machine)
    # While this bank changes its row, the other banks of the unit are read.
    others = (machine.pim_unit_activation_interleaved_banks - 1.0) * row_columns(machine) * interval
    return max(0.0, row_gap(machine) - interval - others)


@kernel
def write_to_mac(machine):
    """Clocks from a write to the first MAC after it: CWL + burst + tWTR_L."""
    return machine.pim_memory_timing_CWL + burst_clocks(machine) + machine.pim_memory_timing_tWTR_L


@kernel
def bus_turns(machine):
    """Clocks that a load adds by turning the bus, from reading to writing and back; 0 where inputs have their own
    path."""
    if not machine.pim_over_bus:
        return 0.0
    into = write_to_mac(machine) - machine.pim_unit_broadcast_interval
    out = machine.pim_memory_timing_tRTW - mac_interval(machine)
    return max(0.0, into) + max(0.0, out)


@kernel
def mode_switch(machine):
    """Clocks to enter and leave all-bank operation: the host's requests leave, parked banks are opened and read, then
    mode registers written.

    SAITPublic/PIMSimulator@b464dde: 16 reads park the banks either way, 4 + 2 writes switch, up to 4 load the program.
    Rows change three times: to the registers' row, to that of the operands, and back to the parked one.
    """
    commands = machine.pim_unit_mode_commands * machine.pim_memory_timing_tCCD_L + machine.pim_controller_host_drain
    if machine.pim_unit_mode_parked_banks == 0.0:
        return commands
    between = max(machine.pim_memory_timing_tRRD_S, machine.pim_memory_timing_tFAW / 4.0)
    burst = burst_clocks(machine)
    read = machine.pim_memory_timing_tRCDRD + machine.pim_memory_timing_CL + burst
    parking = machine.pim_unit_mode_parked_banks * between + read
    written = machine.pim_memory_timing_CWL + burst + machine.pim_memory_timing_tWR
    return 2.0 * parking + 3.0 * row_gap(machine) + commands + written


@kernel
def refresh_loss(machine):
    """Clocks of one refresh during which the units wait: tRP + tRFC."""
    return (machine.pim_memory_timing_tRP + machine.pim_memory_timing_tRFCab) * machine.pim_refresh_exposed


@kernel
def host_stream_time(byte_count, machine):
    """Seconds in which the host reads long sequential streams of the same memory, without the units.

    Bank groups in turn keep the pins busy, at one burst each tCCD_S; refresh stops all banks and opens them again.
    """
    timing = machine.pim_memory_timing_tRFCab + machine.pim_memory_timing_tRP + machine.pim_memory_timing_tRCDRD
    pins = burst_clocks(machine) / max(burst_clocks(machine), machine.pim_memory_timing_tCCD_S)
    efficiency = pins * (1.0 - timing / refresh_interval(machine))
    return byte_count / (external_bandwidth(machine) * efficiency)


@kernel
def busy_clocks(cost):
    """Clocks of an operation without refresh."""
    return cost.broadcast + cost.mac + cost.activation + cost.reduction + cost.mode + cost.barrier


@kernel
def add_mean_refresh(cost, machine):
    """Refresh of an operation among others: its share of the time."""
    loss, interval = refresh_loss(machine), refresh_interval(machine)
    cost.refresh = busy_clocks(cost) * loss / (interval - loss)


@kernel
def add_own_refreshes(cost, machine):
    """Refreshes that fall into an operation which begins alone, `refresh.phase` of the interval after the last."""
    loss, interval = refresh_loss(machine), refresh_interval(machine)
    after_first = busy_clocks(cost) - interval * (1.0 - machine.pim_refresh_phase)
    cost.refresh = loss * (math.floor(after_first / (interval - loss)) + 1.0) if after_first >= 0.0 else 0.0


@kernel
def operation_time(cost, machine):
    """Seconds of an operation: its clocks, the fences, and the host's reading of the results."""
    return (busy_clocks(cost) + cost.refresh) * clock_period(machine) + cost.fence_s + cost.host_read_s
