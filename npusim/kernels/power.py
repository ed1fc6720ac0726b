"""Energy of an operator, and the clock at which a step stays under the power cap."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.dtypes import BF16, FP8, INT8
from npusim.kernels.unit import softmax_passes
from npusim.mapping.optable import ATTENTION, VECTOR

_BISECTIONS = 30
"""Halvings of the range of clocks: it is then known to one part in 10 ** 9."""


@kernel
def mac_energy(dtype, machine):
    """Joules of one multiply-accumulate of operands of `dtype`."""
    if dtype == BF16:
        return machine.power_mac_bf16
    if dtype == FP8:
        return machine.power_mac_fp8
    return machine.power_mac_int8 if dtype == INT8 else machine.power_mac_int4


@kernel
def compute_energy(row, macs, machine):
    """Joules of an operator's arithmetic at full clock: its `macs`, and its vector operations."""
    if row.kind == VECTOR:
        return row.m * row.n * machine.power_vector_op
    energy = macs * mac_energy(row.activation_dtype, machine)
    if row.kind == ATTENTION:
        energy += row.pairs * row.heads * softmax_passes(machine) * machine.power_vector_op
    return energy


@kernel
def transfer_energy(row, moved, machine):
    """Joules of an operator's link traffic and of `moved` bytes from and to memory."""
    return moved * machine.power_memory_byte + row.collective_bytes * machine.power_link_byte


@kernel
def throttled_clock(costs, count, fixed_s, machine):
    """Fraction of the full clock at which mean power meets the cap; 1.0 where it is below the cap or the cap is not
    enforced.

    Arithmetic slows as 1/clock and its energy falls as clock ** voltage_exponent; memory and fixed times do not change.
    Found by bisection between minimum_clock and 1 (power falls monotonically with the clock). A chip that has not
    settled runs at that clock for only that part of the time.
    """
    if not machine.power_cap_enforced or mean_power(1.0, costs, count, fixed_s, machine) <= machine.power_cap:
        return 1.0
    low, high = machine.power_minimum_clock, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if mean_power(middle, costs, count, fixed_s, machine) > machine.power_cap:
            high = middle
        else:
            low = middle
    # The mean of the time per cycle: full clock for the rested part, the lower one for the settled part.
    return 1.0 / (1.0 - machine.settled + machine.settled / low)


@kernel
def mean_power(clock, costs, count, fixed_s, machine):
    """Watts of a step at a clock, operators one after the other."""
    time, energy = fixed_s, 0.0
    scale = clock**machine.power_voltage_exponent
    for index in range(count):
        cost = costs[index]
        time += cost.repeat * operator_time(cost, clock)
        energy += cost.repeat * (cost.compute_j * scale + cost.transfer_j)
    return machine.power_idle + machine.power_loaded_static + energy / time


@kernel
def operator_time(cost, clock):
    """Seconds of one operator: arithmetic and memory stream overlap; PIM and the exposed fixed times are added."""
    busy = max((cost.contraction_s + cost.vector_s) / clock, cost.memory_s)
    return busy + cost.pim_s + cost.link_s + cost.overhead_s
