"""What a contraction processor's queues overlap: weights fetched before their operator, reductions in parts.

The event engine (npusim/engine/event) simulates the same queues command by command; these are its closed forms.
"""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel
from npusim.hardware.runtime_record import GRAPH_LAYER, GRAPH_OPERATOR
from npusim.kernels.launch import launch_time
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.power import operator_time
from npusim.kernels.units.contraction_processor.attention import prompt_parts
from npusim.kernels.units.contraction_processor.contraction import joined_bytes, product_time
from npusim.kernels.units.contraction_processor.fusion import clocked
from npusim.mapping.optable import ATTENTION, LINEAR


@kernel
def overlap(rows, count, machine, runtime, path, costs):
    """Take off `costs` what a graph of a layer or of the whole step fetches before each operator starts.

    While launches, vector programs and reductions keep the memory idle, the DMA queues load as many tiles of the next
    operator as they are deep (furiosa-ai/furiosa-opt@ebb846a docs/src/moving-tensors/dma-engine.md). Which experts a
    token goes to is known only after the router: their weights are not fetched ahead. Nor are the keys and values of
    an attention that is a program of its own: an execution over 2,048 tokens takes 30 us and 6.8 a sequence, whose
    bytes take 6.3 (swsok/heteropilot npu_exec_attention_groups.md, cycles at 2.0 GHz).
    """
    if runtime.path_graph[path] == GRAPH_OPERATOR or not math.isnan(runtime.paths_hidden[path]):
        return
    # Before the first round of a segment that repeats the memory was idle for another time than before the others.
    idle = np.zeros((2, count))
    first, since = 0, 0.0
    while first < count:
        last = first
        while last < count and rows[last].segment == rows[first].segment:
            last += 1
        for turn in range(2 if rows[first].repeat > 1 else 1):
            for index in range(first, last):
                since += _launch_time(rows[index], runtime, path)
                idle[turn, index] = since
                since = _idle_after(rows[index], costs[index], since, machine, runtime, path)
        first = last
    for index in range(count):
        again = (rows[index].repeat - 1.0) / rows[index].repeat
        if rows[index].kind != ATTENTION or runtime.path_graph[path] != GRAPH_LAYER:
            _take_off(rows[index], idle[:, index], again, machine, costs[index])


@kernel
def _launch_time(row, runtime, path):
    launch = launch_time(row, runtime, path)
    return launch + prompt_parts(row) * runtime.paths_attention_execution[path] if row.kind == ATTENTION else launch


@kernel
def _idle_after(row, cost, since, machine, runtime, path):
    """Seconds for which the memory has been idle when an operator ends, of which its launch was counted before."""
    if row.kind == LINEAR:
        seconds, _, reduction = product_time(
            cost.contraction_s, cost.memory_s, row.weight_bytes, 0.0, machine, row.pes, row.tile, joined_bytes(row)
        )
        loaded = clocked(machine.tcp_dma_command, machine) + cost.memory_s
        program = clocked(machine.tcp_program_time, machine)
        # What a compiler's largest tile takes, however it is cut: the last of its parts are loaded when it begins.
        fewest = max(1.0, row.weight_bytes / (row.pes * machine.tcp_weight_tile))
        return max(program, min(seconds - reduction - loaded, cost.contraction_s / fewest + program)) + cost.link_s
    if row.kind == ATTENTION:
        return since + cost.link_s if cost.memory_s == 0.0 else cost.link_s
    return since + operator_time(cost, 1.0) - _launch_time(row, runtime, path)


@kernel
def _take_off(row, idle_s, again, machine, cost):
    """What is loaded while the memory was idle before: of weights, and of K and V, as many tiles as the queue holds.

    idle_s: seconds for which it was, before the first round and before the further ones, which are the fraction `again`
    of all.
    """
    if row.kind not in (LINEAR, ATTENTION) or row.matrices > 0.0 or cost.memory_s == 0.0 or cost.pim_s > 0.0:
        return
    pes, memory_s = row.pes, cost.memory_s
    if row.kind == ATTENTION:
        ahead = machine.tcp_dma_queue * min(machine.tcp_weight_tile, row.tile) * pes / stream_bandwidth(machine, pes)
        idle = (1.0 - again) * min(idle_s[0], ahead) + again * min(idle_s[1], ahead)
        arithmetic = cost.contraction_s + cost.vector_s
        cost.memory_s -= max(0.0, min(idle, memory_s - arithmetic))
        return
    joined = joined_bytes(row)
    late = product_time(cost.contraction_s, memory_s, row.weight_bytes, 0.0, machine, pes, row.tile, joined)[0]
    saved = 0.0
    for turn in range(2):
        part = again if turn == 1 else 1.0 - again
        if part > 0.0:
            early = product_time(
                cost.contraction_s, memory_s, row.weight_bytes, idle_s[turn], machine, pes, row.tile, joined
            )[0]
            saved += part * (late - early)
    # Start-up and the first tile are fixed time and go first; the rest is shorter streaming.
    fixed = min(saved, late - cost.link_s - max(cost.contraction_s, memory_s))
    cost.overhead_s -= fixed
    cost.memory_s -= saved - fixed
