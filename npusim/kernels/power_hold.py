"""The clock, and beyond the lowest one the fraction of the time, at which a step's work meets an enforced power cap."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.hardware.power import lowest_clock
from npusim.kernels.pim_offload import beside_host
from npusim.kernels.power import cap_headroom, energy_scale
from npusim.kernels.segments import end_of_segment, segment_times

_BISECTIONS = 30
"""Halvings of the range of clocks: it is then known to one part in 10 ** 9."""
_SECANTS, _NEAR = 6, 2.0**-31
"""Secants after which a clock is known so well; where power does not rise smoothly, bisections find the rest."""


@kernel
def hold_to_cap(rows, costs, count, fixed, machine, finish, step):
    """Set clock and duty of `step` so that its mean power meets an enforced cap; both 1 where it is below it.

    First the clock falls, by bisection between the lowest and 1: arithmetic slows as 1/clock and takes the energy
    of `energy_scale`; memory and fixed times do not change. What is too much at the lowest clock is spread over more
    time, memory streams slowed too: the energy that work takes is then all that the cap leaves over static power. A
    chip that has not settled is held for only that part of the time.
    """
    step.clock = step.duty = 1.0
    if not machine.power_cap_enforced:
        return
    compute_j = transfer_j = 0.0
    for index in range(count):
        compute_j += costs[index].repeat * costs[index].compute_j
        transfer_j += costs[index].repeat * costs[index].transfer_j
    over = _over(1.0, compute_j, transfer_j, rows, costs, count, fixed, machine, finish)
    if over <= 0.0:
        return
    low, duty = lowest_clock(machine.power_minimum_clock, machine.power_over_nominal), 1.0
    under = _over(low, compute_j, transfer_j, rows, costs, count, fixed, machine, finish)
    if under > 0.0:
        headroom = cap_headroom(low, machine)
        duty = max(0.0, headroom / _demand(low, compute_j, transfer_j, rows, costs, count, fixed, machine, finish))
    else:
        low = _highest_clock(low, under, over, compute_j, transfer_j, rows, costs, count, fixed, machine, finish)
    if machine.settled == 1.0:
        step.clock, step.duty = low, duty
    else:
        # The mean of the time per cycle: full clock for the rested part, the lower one for the settled part.
        step.clock = 1.0 / (1.0 - machine.settled + machine.settled / low)
        step.duty = 1.0 / (1.0 - machine.settled + machine.settled / duty) if duty > 0.0 else 0.0


@kernel
def _highest_clock(lowest, under, over, compute_j, transfer_j, rows, costs, count, fixed, machine, finish):
    """The highest clock at which the work takes no more than the cap leaves: by bisection between `lowest` and 1.

    under, over: `_over` at both. What it is at a middle need not be asked outside of `below` and `above`, which a
    modified regula falsi (Dowell, Jarratt 1971, BIT 11, the Illinois rule) has brought close together before.
    """
    below, above, side, clock = lowest, 1.0, 0, 1.0
    for turn in range(_SECANTS + 2):
        if turn < _SECANTS:
            clock = below - under * (above - below) / (over - under)
        probe = clock if turn < _SECANTS else clock + (_NEAR if turn == _SECANTS else -_NEAR)
        if not below < probe < above:
            continue
        excess = _over(probe, compute_j, transfer_j, rows, costs, count, fixed, machine, finish)
        if excess > 0.0:
            above, over, under, side = probe, excess, under * (0.5 if side > 0 else 1.0), 1
        else:
            below, under, over, side = probe, excess, over * (0.5 if side < 0 else 1.0), -1
    low, high = lowest, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if below < middle < above:
            if _over(middle, compute_j, transfer_j, rows, costs, count, fixed, machine, finish) > 0.0:
                above = middle
            else:
                below = middle
        if middle >= above:
            high = middle
        else:
            low = middle
    return low


@kernel
def _over(clock, compute_j, transfer_j, rows, costs, count, fixed, machine, finish):
    """Watts by which the step's work takes more at a clock than the cap leaves."""
    demand_w = _demand(clock, compute_j, transfer_j, rows, costs, count, fixed, machine, finish)
    return demand_w - cap_headroom(clock, machine)


@kernel
def _demand(clock, compute_j, transfer_j, rows, costs, count, fixed, machine, finish):
    """Watts that the step's work takes at a clock, beside static power: `compute_j` at full clock, and `transfer_j`."""
    time_s, beside = fixed, beside_host(machine)
    first = 0
    while first < count:
        last = end_of_segment(rows, first, count)
        time_s += rows[first].repeat * segment_times(rows, costs, first, last, clock, beside, finish)[0]
        first = last
    return (compute_j * energy_scale(clock, machine) + transfer_j) / time_s
