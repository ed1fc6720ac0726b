"""What a contraction processor's queues overlap: weights fetched before their operator, reductions in parts.

The event engine (npusim/engine/event) simulates the same queues command by command; these are its closed forms.
"""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel
from npusim.hardware.runtime_record import GRAPH_STEP
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.power import operator_time
from npusim.kernels.units.contraction_processor.attention import prompt_parts
from npusim.kernels.units.contraction_processor.contraction import product_time
from npusim.kernels.units.contraction_processor.fusion import clocked
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.mapping.optable import ATTENTION, LINEAR

_PARTS = np.array([1.0, 2.0, 4.0, 8.0])
"""Numbers of parts in which a reduction may be done."""


@kernel
def exposed_reduction_time(byte_count, busy_s, tiles, machine, pes):
    """Seconds by which joining the PEs' partial results outlasts the `busy_s` of `tiles` tiles that make them.

    Results may be joined in parts, each while later tiles are computed; more parts cost more messages.
    """
    best = on_chip_reduction_time(byte_count, machine, pes)
    for parts in _PARTS:
        if parts <= tiles:
            each = on_chip_reduction_time(byte_count / parts, machine, pes)
            best = min(best, max(each, busy_s / parts + parts * each - busy_s))
    return best


@kernel
def overlap(rows, count, machine, runtime, path, costs):
    """Take off `costs` what a graph of the whole step fetches before each operator starts.

    While launches, vector programs and reductions keep the memory idle, the DMA queues load as many tiles of the next
    operator as they are deep (furiosa-ai/furiosa-opt@ebb846a docs/src/moving-tensors/dma-engine.md). Which experts a
    token goes to is known only after the router: their weights are not fetched ahead.
    """
    if runtime.path_graph[path] != GRAPH_STEP or not math.isnan(runtime.paths_hidden[path]):
        return
    idle = np.zeros(count)
    first, since = 0, 0.0
    while first < count:
        last = first
        while last < count and rows[last].segment == rows[first].segment:
            last += 1
        # Of a segment that repeats, the second round counts: before it the memory was idle as within the run.
        for _ in range(2 if rows[first].repeat > 1 else 1):
            for index in range(first, last):
                since += _launch_time(rows[index], runtime, path)
                idle[index] = since
                since = _idle_after(rows[index], costs[index], since, machine, runtime, path)
        first = last
    for index in range(count):
        _take_off(rows[index], idle[index], machine, costs[index])


@kernel
def _launch_time(row, runtime, path):
    launch = runtime.paths_operator_launch[path]
    return launch + prompt_parts(row) * runtime.paths_attention_execution[path] if row.kind == ATTENTION else launch


@kernel
def _idle_after(row, cost, since, machine, runtime, path):
    """Seconds for which the memory has been idle when an operator ends, of which its launch was counted before."""
    if row.kind == LINEAR:
        tiles = product_time(cost.contraction_s, cost.memory_s, row.weight_bytes, since, machine, row.pes, row.tile)[1]
        return cost.contraction_s / tiles + clocked(machine.tcp_program_time, machine) + cost.link_s
    if row.kind == ATTENTION:
        return since + cost.link_s if cost.memory_s == 0.0 else cost.link_s
    return since + operator_time(cost, 1.0) - _launch_time(row, runtime, path)


@kernel
def _take_off(row, idle_s, machine, cost):
    """What is loaded while the memory was idle before: of weights, and of K and V, as many tiles as the queue holds."""
    if row.kind not in (LINEAR, ATTENTION) or row.matrices > 0.0 or cost.memory_s == 0.0 or cost.pim_s > 0.0:
        return
    pes = row.pes
    if row.kind == ATTENTION:
        ahead = machine.tcp_dma_queue * min(machine.tcp_weight_tile, row.tile) * pes / stream_bandwidth(machine, pes)
        arithmetic = cost.contraction_s + cost.vector_s
        cost.memory_s -= max(0.0, min(min(idle_s, ahead), cost.memory_s - arithmetic))
        return
    late = product_time(cost.contraction_s, cost.memory_s, row.weight_bytes, 0.0, machine, pes, row.tile)[0]
    early = product_time(cost.contraction_s, cost.memory_s, row.weight_bytes, idle_s, machine, pes, row.tile)[0]
    # Start-up and the first tile are fixed time and go first; the rest is shorter streaming.
    fixed = min(late - early, late - max(cost.contraction_s, cost.memory_s))
    cost.overhead_s -= fixed
    cost.memory_s -= late - early - fixed
