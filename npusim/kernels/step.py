"""The cost of a step: its operators along the critical path of each segment, at the clock that the cap allows."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel, record_type
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
    energy_scale,
    loaded_power,
    mac_part,
    total_energy,
)
from npusim.kernels.power_hold import hold_to_cap
from npusim.kernels.segments import end_of_segment, segment_times
from npusim.kernels.unit import fusions, meeting_time, overlap, place
from npusim.mapping.optable import ATTENTION, COLLECTIVE

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
    """Cost the rows on `pes` engines."""
    step.pes = pes
    step.sub_batches = 1.0
    for index in range(count):
        rows[index].pes = pes
    place(rows, count, machine, runtime)
    for index in range(count):
        _cost_one(index, rows, machine, runtime, path, costs)
    overlap(rows, count, machine, runtime, path, costs)
    _sum_up(rows, count, machine, runtime, path, costs, step)


@kernel
def cost_grown(rows, count, machine, runtime, path, costs, step):
    """Cost rows of which only attention has changed since `cost_step`, on a machine that costs each operator for itself
    (`unit.where_costed_apart`)."""
    for index in range(count):
        before = rows[index].first_input
        after_attention = before >= 0 and rows[before].kind == ATTENTION
        if rows[index].kind == ATTENTION or (rows[index].kind == COLLECTIVE and after_attention):
            _cost_one(index, rows, machine, runtime, path, costs)
    _sum_up(rows, count, machine, runtime, path, costs, step)


@kernel
def _cost_one(index, rows, machine, runtime, path, costs):
    """Cost one operator; a collective after the operator whose result it moves, on finished parts of which it starts
    where the chip's DMA can."""
    cost_operator(rows[index], machine, runtime, path, costs[index])
    if rows[index].kind == COLLECTIVE and rows[index].first_input >= 0:
        collective, producer = costs[index], costs[rows[index].first_input]
        busy = max(producer.contraction_s + producer.vector_s, producer.memory_s)
        collective.link_s -= min(collective.link_s, machine.fabric_overlap * busy)


@kernel
def _sum_up(rows, count, machine, runtime, path, costs, step):
    """Fill `step` from the costs of its operators.

    The six resource times of `step` are shares of the elapsed time and sum to time_s: an operator's busy time counts
    for the resource that bounds it, its fixed time for link and overhead. Energy is one chip's, idle and static
    included; parts_j says on what it is spent (ENERGY_PARTS). clock and duty: what the power cap leaves, `hold_to_cap`;
    launch_s: in which the host launches the operators, of which launch_wait_s of time_s outlast them.
    """
    fixed = fixed_time(rows, count, runtime, path) + meeting_time(machine, step.pes)
    finish = np.zeros(count)
    hold_to_cap(rows, costs, count, fixed, machine, finish, step)
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
def _elapse(rows, costs, count, fixed, clock, machine, finish, step):
    """Set the times of `step` at a clock: `fixed` and one segment after the other."""
    step.time_s = step.overhead_s = fixed
    step.contraction_s = step.vector_s = step.memory_s = step.pim_s = step.link_s = 0.0
    beside = beside_host(machine)
    first = 0
    while first < count:
        last = end_of_segment(rows, first, count)
        elapsed, total = segment_times(rows, costs, first, last, clock, beside, finish)
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
        first = last


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
