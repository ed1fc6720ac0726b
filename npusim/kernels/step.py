"""The cost of a step: its operators along the critical path of each segment, at the clock that the cap allows."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel, record_type
from npusim.hardware.power import lowest_clock
from npusim.kernels.launch import fixed_time, launches_time
from npusim.kernels.operator import cost_operator
from npusim.kernels.pim_offload import beside_host, keep_on_units, kinds_on_units, with_units
from npusim.kernels.power import (
    ENERGY_PARTS,
    IDLE,
    LINK,
    LOADED,
    MEMORY_READ,
    MEMORY_WRITE,
    PIM_ACTIVATE,
    PIM_COLUMN,
    PIM_IO,
    PIM_MAC,
    VECTOR_WORK,
    cap_headroom,
    energy_scale,
    loaded_power,
    mac_part,
    operator_time,
    total_energy,
)
from npusim.kernels.unit import fusions, meeting_time, overlap, place
from npusim.mapping.optable import COLLECTIVE

STEP_COST_DTYPE = record_type(
    [
        ("time_s", np.float64),
        ("energy_j", np.float64),
        ("contraction_s", np.float64),
        ("vector_s", np.float64),
        ("memory_s", np.float64),
        ("pim_s", np.float64),
        ("link_s", np.float64),
        ("overhead_s", np.float64),
        ("launch_s", np.float64),
        ("launch_wait_s", np.float64),
        ("memory_bytes", np.float64),
        ("flops", np.float64),
        ("clock", np.float64),
        ("duty", np.float64),
        ("parts_j", np.float64, (len(ENERGY_PARTS),)),
        ("pes", np.float64),
        ("sub_batches", np.float64),
    ]
)
_BISECTIONS = 30
"""Halvings of the range of clocks: it is then known to one part in 10 ** 9."""
_SECANTS, _NEAR = 6, 2.0**-31
"""Secants after which a clock is known so well; where power does not rise smoothly, bisections find the rest."""
_MOST_FUSIONS = 64
"""Numbers of engines among which a compiler chooses."""


@kernel
def _cost_placed(rows, count, machine, runtime, path, costs, step):
    """As `cost_step`, on units in memory or without them.

    Each operator takes its own faster side first; what that does to its neighbours is known only of the whole step,
    which is why the products, attention or both are taken back to the chip where the step ends earlier so.
    """
    _cost_fused(rows, count, machine, runtime, path, costs, step)
    placed = kinds_on_units(rows, count, costs, machine)
    if placed == 0:
        return
    offered = np.zeros(count, np.int64)
    for index in range(count):
        offered[index] = rows[index].device
    chosen, least = placed, step.time_s
    # Every part of the kinds that went to the units, the chip alone last.
    for kept in range(placed - 1, -1, -1):
        if kept & placed == kept:
            keep_on_units(rows, count, offered, kept)
            _cost_fused(rows, count, machine, runtime, path, costs, step)
            if step.time_s < least:
                chosen, least = kept, step.time_s
    if chosen != 0:
        keep_on_units(rows, count, offered, chosen)
        _cost_fused(rows, count, machine, runtime, path, costs, step)


@with_units(_cost_placed)
def cost_step(rows, count, machine, runtime, path, costs, step):
    """Cost the specialised `rows[:count]` where they are the fastest together.

    Fills `costs` (OPERATOR_COST_DTYPE), `step` (STEP_COST_DTYPE) and the rows' `pes` and `device`.
    """
    _cost_fused(rows, count, machine, runtime, path, costs, step)


@kernel
def _cost_fused(rows, count, machine, runtime, path, costs, step):
    """Cost the rows on the number of the chip's engines on which they are the fastest.

    Of numbers that are equally fast, the first that the unit's `fusions` names is taken.
    """
    sizes = np.ones(_MOST_FUSIONS)
    known = fusions(machine, runtime, sizes)
    chosen, least = sizes[0], np.inf
    for index in range(known if known > 1 else 0):
        _cost_on(sizes[index], rows, count, machine, runtime, path, costs, step)
        if step.time_s < least:
            chosen, least = sizes[index], step.time_s
    _cost_on(chosen, rows, count, machine, runtime, path, costs, step)


@kernel
def _cost_on(pes, rows, count, machine, runtime, path, costs, step):
    """Cost the rows on `pes` engines.

    The six resource times of `step` are shares of the elapsed time and sum to time_s: an operator's busy time counts
    for the resource that bounds it, its fixed time for link and overhead. Energy is one chip's, idle and static
    included; parts_j says on what it is spent (ENERGY_PARTS). clock and duty: what the power cap leaves, `_hold`;
    launch_s: in which the host launches the operators, of which launch_wait_s of time_s outlast them.
    """
    fixed = fixed_time(rows, count, runtime, path) + meeting_time(machine, pes)
    step.pes = pes
    step.sub_batches = 1.0
    for index in range(count):
        rows[index].pes = pes
    place(rows, count, machine, runtime)
    for index in range(count):
        cost_operator(rows[index], machine, runtime, path, costs[index])
        if rows[index].kind == COLLECTIVE and rows[index].first_input >= 0:
            _run_beside(costs[index], costs[rows[index].first_input], machine)
    overlap(rows, count, machine, runtime, path, costs)
    finish = np.zeros(count)
    _hold(rows, costs, count, fixed, machine, finish, step)
    _elapse(rows, costs, count, fixed, step.clock, machine, finish, step)
    _stretch(step)
    step.launch_s = launches_time(rows, count, runtime, path)
    step.launch_wait_s = max(0.0, step.launch_s - step.time_s)
    step.time_s += step.launch_wait_s
    step.overhead_s += step.launch_wait_s
    scale = energy_scale(step.clock, machine)
    step.memory_bytes = step.flops = 0.0
    step.parts_j[:] = 0.0
    for index in range(count):
        row = rows[index]
        _add_energy(row, costs[index], scale, step)
        step.memory_bytes += row.repeat * (costs[index].fetched + costs[index].stored)
        step.flops += row.repeat * row.flops
    step.parts_j[IDLE] = step.time_s * machine.power_idle
    step.parts_j[LOADED] = step.time_s * loaded_power(step.clock, machine)
    step.energy_j = total_energy(step.parts_j)


@kernel
def _hold(rows, costs, count, fixed, machine, finish, step):
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
        last = _end_of_segment(rows, first, count)
        time_s += rows[first].repeat * _segment_times(rows, costs, first, last, clock, beside, finish)[0]
        first = last
    return (compute_j * energy_scale(clock, machine) + transfer_j) / time_s


@kernel
def _elapse(rows, costs, count, fixed, clock, machine, finish, step):
    """Set the times of `step` at a clock: `fixed` and one segment after the other."""
    step.time_s = step.overhead_s = fixed
    step.contraction_s = step.vector_s = step.memory_s = step.pim_s = step.link_s = 0.0
    beside = beside_host(machine)
    first = 0
    while first < count:
        last = _end_of_segment(rows, first, count)
        _add_segment(rows, costs, first, last, clock, beside, finish, step)
        first = last


@kernel
def _end_of_segment(rows, first, count):
    """The row after the last one of the segment that begins with row `first`."""
    last = first
    while last < count and rows[last].segment == rows[first].segment:
        last += 1
    return last


@kernel
def _stretch(step):
    """The power limiter lets the chip work for only the fraction `duty` of the time, whatever it does."""
    if step.duty == 1.0:
        return
    longer = 1.0 / step.duty if step.duty > 0.0 else math.inf
    step.time_s *= longer
    step.contraction_s *= longer
    step.vector_s *= longer
    step.memory_s *= longer
    step.pim_s *= longer
    step.link_s *= longer
    step.overhead_s *= longer


@kernel
def _add_energy(row, cost, scale, step):
    """Add the joules of an operator's repeats; products and vector operations take `scale` of theirs."""
    parts, repeat = step.parts_j, cost.repeat
    parts[mac_part(row.activation_dtype)] += repeat * scale * (cost.compute_j - cost.vector_j)
    parts[VECTOR_WORK] += repeat * scale * cost.vector_j
    in_memory = cost.pim_activate_j + cost.pim_column_j + cost.pim_mac_j + cost.pim_io_j
    parts[MEMORY_READ] += repeat * max(0.0, cost.transfer_j - cost.write_j - cost.link_j - in_memory)
    parts[MEMORY_WRITE] += repeat * cost.write_j
    parts[LINK] += repeat * cost.link_j
    parts[PIM_ACTIVATE] += repeat * cost.pim_activate_j
    parts[PIM_COLUMN] += repeat * cost.pim_column_j
    parts[PIM_MAC] += repeat * cost.pim_mac_j
    parts[PIM_IO] += repeat * cost.pim_io_j


@kernel
def _run_beside(collective, producer, machine):
    """A collective starts on finished parts of the operator whose result it moves, where the chip's DMA can."""
    busy = max(producer.contraction_s + producer.vector_s, producer.memory_s)
    collective.link_s -= min(collective.link_s, machine.fabric_overlap * busy)


@kernel
def _segment_times(rows, costs, first, last, clock, beside, finish):
    """Seconds that a segment takes once, and the sum of its operators': its critical path, or the busiest resource
    where parallel branches share one.

    beside: fraction of the host's memory time that can overlap with PIM units that hold the banks.
    """
    path = total = arithmetic = memory = pim = 0.0
    for index in range(first, last):
        duration = operator_time(costs[index], clock)
        ready = 0.0
        for before in (rows[index].first_input, rows[index].second_input):
            if before >= first:
                ready = max(ready, finish[before])
        finish[index] = ready + duration
        path = max(path, finish[index])
        total += duration
        arithmetic += (costs[index].contraction_s + costs[index].vector_s) / clock
        memory += costs[index].memory_s
        pim += costs[index].pim_s
    banks = max(memory, pim) + (1.0 - beside) * min(memory, pim)
    return max(path, max(arithmetic, banks)), total


@kernel
def _add_segment(rows, costs, first, last, clock, beside, finish, step):
    """Add a segment (`_segment_times`) to the times of `step`."""
    elapsed, total = _segment_times(rows, costs, first, last, clock, beside, finish)
    repeat = rows[first].repeat
    # Branches overlap: every operator's time is scaled so that all sum to the elapsed time.
    share = repeat * elapsed / total if total > 0.0 else 0.0
    step.time_s += repeat * elapsed
    for index in range(first, last):
        cost = costs[index]
        contraction, vector = cost.contraction_s / clock, cost.vector_s / clock
        if contraction + vector >= cost.memory_s:
            step.contraction_s += share * contraction
            step.vector_s += share * vector
        else:
            step.memory_s += share * cost.memory_s
        step.pim_s += share * cost.pim_s
        step.link_s += share * cost.link_s
        step.overhead_s += share * cost.overhead_s
