"""Energy of an operator, and what the power cap leaves of clock and memory rate."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.dtypes import BF16, FP8, INT8, NVFP4
from npusim.hardware.power import saved_by_clocks
from npusim.kernels.unit import softmax_passes
from npusim.mapping.optable import ATTENTION, VECTOR

ENERGY_PARTS = (
    "mac_bf16", "mac_fp8", "mac_int8", "mac_int4", "mac_nvfp4", "vector", "memory_read", "memory_write", "link",
    "pim_activate", "pim_column", "pim_mac", "pim_io", "idle", "loaded",
)  # fmt: skip
"""What the joules of a step are spent on; together they are all of them."""
(
    MAC_BF16, MAC_FP8, MAC_INT8, MAC_INT4, MAC_NVFP4, VECTOR_WORK, MEMORY_READ, MEMORY_WRITE, LINK,
    PIM_ACTIVATE, PIM_COLUMN, PIM_MAC, PIM_IO, IDLE, LOADED,
) = range(len(ENERGY_PARTS))  # fmt: skip


@kernel
def total_energy(parts_j):
    """Joules of all parts, added in their order: NumPy's own sum adds in another one than its compiled form."""
    total = 0.0
    for index in range(len(ENERGY_PARTS)):
        total += parts_j[index]
    return total


@kernel
def mac_part(dtype):
    """The part of the energy that multiply-accumulates of operands of `dtype` are counted in."""
    if dtype == BF16:
        return MAC_BF16
    if dtype == FP8:
        return MAC_FP8
    if dtype == NVFP4:
        return MAC_NVFP4
    return MAC_INT8 if dtype == INT8 else MAC_INT4


@kernel
def mac_energy(dtype, machine):
    """Joules of one multiply-accumulate of operands of `dtype`."""
    if dtype == BF16:
        return machine.power_mac_bf16
    if dtype == FP8:
        return machine.power_mac_fp8
    if dtype == NVFP4:
        return machine.power_mac_nvfp4
    return machine.power_mac_int8 if dtype == INT8 else machine.power_mac_int4


@kernel
def vector_energy(row, machine):
    """Joules of an operator's vector operations at full clock: those of a vector operator, or of softmax."""
    if row.kind == VECTOR:
        return row.m * row.n * machine.power_vector_op
    if row.kind == ATTENTION:
        return row.pairs * row.heads * softmax_passes(machine) * machine.power_vector_op
    return 0.0


@kernel
def product_energy(row, macs, machine):
    """Joules of an operator's `macs` multiply-accumulates at full clock."""
    return 0.0 if row.kind == VECTOR else macs * mac_energy(row.activation_dtype, machine)


@kernel
def loaded_power(clock, machine):
    """Watts that raised clocks and warm leakage add to idle at the fraction `clock` of the full clock."""
    saved = saved_by_clocks(machine.power_clocks, machine.power_over_nominal, clock)
    return machine.power_loaded_static - saved


@kernel
def waiting_power(machine):
    """As `loaded_power` of a chip that waits: no more than an enforced cap leaves over idle."""
    if not machine.power_cap_enforced:
        return machine.power_loaded_static
    return min(machine.power_loaded_static, max(0.0, machine.power_cap - machine.power_idle))


@kernel
def cap_headroom(clock, machine):
    """Watts that an enforced cap leaves to work at a clock; infinite where none is enforced. Without any, no step
    ends."""
    if not machine.power_cap_enforced:
        return math.inf
    return machine.power_cap - machine.power_idle - loaded_power(clock, machine)


@kernel
def energy_scale(clock, machine):
    """Energy of an operation at the fraction `clock` of the unit's clock, over that which its description gives.

    Dynamic energy goes with the square of the voltage (Weste, Harris 2011, CMOS VLSI Design, 5.2): it follows
    (clock / nominal clock) ** voltage_exponent, until the voltage is at its minimum.
    """
    scale = (clock * machine.power_over_nominal) ** machine.power_voltage_exponent
    least = machine.power_minimum_voltage
    return scale if math.isnan(least) else max(scale, least * least)


@kernel
def operator_time(cost, clock):
    """Seconds of one operator: arithmetic and memory stream overlap; PIM and the exposed fixed times are added."""
    busy = max((cost.contraction_s + cost.vector_s) / clock, cost.memory_s)
    return busy + cost.pim_s + cost.link_s + cost.overhead_s
