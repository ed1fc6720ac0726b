"""The cost of a step: its operators along the critical path of each segment, at the clock that the cap allows."""

from __future__ import annotations

import numpy as np

from npusim.compilation import entry, kernel, record_type
from npusim.kernels.operator import OPERATOR_COST_DTYPE, cost_operator
from npusim.kernels.pim_offload import beside_host
from npusim.kernels.power import operator_time, throttled_clock
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
        ("memory_bytes", np.float64),
        ("flops", np.float64),
        ("clock", np.float64),
        ("pes", np.float64),
    ]
)


_MOST_FUSIONS = 64
"""Numbers of engines among which a compiler chooses."""


@kernel
def cost_step(rows, count, machine, runtime, path, costs, step):
    """Cost the specialised `rows[:count]` on the number of the chip's engines on which they are the fastest.

    Fills `costs` (OPERATOR_COST_DTYPE), `step` (STEP_COST_DTYPE) and the rows' `pes`. Of numbers that are equally fast,
    the first that the unit's `fusions` names is taken.
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
    included.
    """
    fixed = runtime.paths_step_launch[path] + meeting_time(machine, pes)
    step.pes = pes
    for index in range(count):
        rows[index].pes = pes
    place(rows, count, machine, runtime)
    for index in range(count):
        cost_operator(rows[index], machine, runtime, path, costs[index])
        if rows[index].kind == COLLECTIVE and rows[index].first_input >= 0:
            _run_beside(costs[index], costs[rows[index].first_input], machine)
    overlap(rows, count, machine, runtime, path, costs)
    clock = throttled_clock(costs, count, fixed, machine)
    step.time_s = step.overhead_s = fixed
    step.energy_j = step.contraction_s = step.vector_s = step.memory_s = step.pim_s = step.link_s = 0.0
    step.memory_bytes = step.flops = 0.0
    step.clock = clock
    beside = beside_host(machine)
    finish = np.zeros(count)
    first = 0
    while first < count:
        last = first
        while last < count and rows[last].segment == rows[first].segment:
            last += 1
        _add_segment(rows, costs, first, last, clock, beside, finish, step)
        first = last
    scale = clock**machine.power_voltage_exponent
    for index in range(count):
        row, cost = rows[index], costs[index]
        step.energy_j += cost.repeat * (cost.compute_j * scale + cost.transfer_j)
        step.memory_bytes += row.repeat * (cost.fetched + cost.stored)
        step.flops += row.repeat * row.flops
    step.energy_j += step.time_s * (machine.power_idle + machine.power_loaded_static)


@kernel
def _run_beside(collective, producer, machine):
    """A collective starts on finished parts of the operator whose result it moves, where the chip's DMA can."""
    busy = max(producer.contraction_s + producer.vector_s, producer.memory_s)
    collective.link_s -= min(collective.link_s, machine.fabric_overlap * busy)


@kernel
def _add_segment(rows, costs, first, last, clock, beside, finish, step):
    """Add a segment: its critical path, or the busiest resource where parallel branches share one.

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
    elapsed = max(path, max(arithmetic, banks))
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


@entry
def cost_machines(rows, count, machines, runtime, path, steps):
    """Cost the same specialised rows on many machines: fills `steps`, one STEP_COST_DTYPE per machine."""
    costs = np.zeros(count, OPERATOR_COST_DTYPE)
    for index in range(len(machines)):
        cost_step(rows, count, machines[index], runtime, path, costs, steps[index])
