"""The critical path of a segment: a run of layers that repeats."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.kernels.power import operator_time


@kernel
def end_of_segment(rows, first, count):
    """The row after the last one of the segment that begins with row `first`."""
    last = first
    while last < count and rows[last].segment == rows[first].segment:
        last += 1
    return last


@kernel
def segment_times(rows, costs, first, last, clock, beside, finish):
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
