"""How flows share resources: max-min fair by progressive filling, each flow in proportion to its engines.

All rates grow together, in proportion to the flows' weights, until a resource is full; the flows that use it keep their
rates, the others grow on (Bertsekas and Gallager 1992, "Data Networks", section 6.5.2). A flow may use more of one
resource than of another: a transfer whose addresses fall on few channels is held up by the fullest.
"""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import inner_kernel
from npusim.engine.event.core.state import (
    BITS_OF_PATTERN,
    DIRTY,
    FILL,
    FLOWING,
    KNOWN,
    MOST_MIXES,
    MOST_OF_PATTERN,
    NEEDS_MIX,
    NONE,
    RUNNING,
    SHARED,
    STATUS,
    WANTED,
    WANTED_MEMORY,
)

_FULL = 1e-12
"""Part of a resource's capacity within which it is full, for rounding."""


@inner_kernel
def share(plant, work, state):
    """Give every active flow its rate. False where a mix of access patterns must be measured first."""
    if not _set_memories(plant, work, state):
        return False
    for port in range(len(plant.ports)):
        state.capacity[2 * port] = max(0.0, plant.ports[port] - state.main[port] - state.sub[port])
        state.capacity[2 * port + 1] = max(0.0, plant.ports[port] - state.main[port])
    _note_rates_alone(plant, work, state)
    _fill(plant, work, state)
    state.counters[DIRTY] = 0
    return True


@inner_kernel
def _set_memories(plant, work, state):
    """Capacity of each memory's channels under the flows that draw on it."""
    for number in range(len(plant.memories)):
        state.drawn[number], state.mix[number] = 0.0, 0
    for place in range(state.counters[FLOWING]):
        command = work.commands[state.flows[place]]
        if command.memory != NONE:
            _draw(state, command.memory, command.pattern, command.streams)
        if command.second_memory != NONE and command.second_memory != command.memory:
            _draw(state, command.second_memory, command.second_pattern, command.streams)
    for number in range(len(plant.memories)):
        memory, streams, mix = plant.memories[number], state.drawn[number], state.mix[number]
        if streams == 0.0:
            continue
        known = 0
        if memory.mixes:
            known = _find(mix, state)
            if known == NONE:
                state.counters[STATUS], state.counters[WANTED], state.counters[WANTED_MEMORY] = NEEDS_MIX, mix, number
                return False
        rate = memory_rate(streams, memory) / memory.channels
        for channel in range(memory.channels):
            scale = state.scales[known, channel] if memory.mixes else 1.0
            state.capacity[memory.first + channel] = rate * scale
    state.counters[STATUS] = RUNNING
    return True


@inner_kernel
def _draw(state, number, pattern, streams):
    """Count the streams of a flow among those of a memory, and its pattern in the mix there."""
    state.drawn[number] += streams
    bits = pattern * BITS_OF_PATTERN
    if (state.mix[number] >> bits) & MOST_OF_PATTERN < MOST_OF_PATTERN:
        state.mix[number] += np.int64(1) << bits


@inner_kernel
def _find(mix, state):
    """Where a mix stands among the known ones; NONE where it does not."""
    for known in range(state.counters[KNOWN]):
        if state.mixes[known] == mix:
            return known
    return NONE if state.counters[KNOWN] < MOST_MIXES else MOST_MIXES - 1


@inner_kernel
def memory_rate(streams, memory):
    """Bytes/s that `streams` engines draw together: as `drawn_bandwidth` of the cost kernels, by a p-norm."""
    asked = streams * memory.engine_rate
    if not math.isfinite(asked):
        return memory.limit
    least, most = min(asked, memory.limit), max(asked, memory.limit)
    part = least / most if math.isfinite(most) else 0.0
    return least * (1.0 + part**memory.sharpness) ** (-1.0 / memory.sharpness)


@inner_kernel
def _note_rates_alone(plant, work, state):
    """Bytes/s that each flow would have with all its resources for itself."""
    for place in range(state.counters[FLOWING]):
        if state.alone[place] == 0.0:
            state.alone[place] = _rate_alone(plant, work, state.flows[place])


@inner_kernel
def _rate_alone(plant, work, flow):
    command = work.commands[flow]
    rate = own_limit(command)
    for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
        if work.shares[entry] > 0.0:
            resource = work.ways[entry]
            capacity = plant.capacity[resource]
            for number in (command.memory, command.second_memory):
                if number != NONE:
                    memory = plant.memories[number]
                    if memory.first <= resource < memory.first + memory.channels:
                        capacity = memory_rate(command.streams, memory) / memory.channels
            rate = min(rate, capacity / work.shares[entry])
    return rate


@inner_kernel
def own_limit(command):
    """Bytes/s that a fill asks for, or that a flow's own engine moves; infinite where nothing limits it."""
    if command.style == FILL:
        return command.touched / command.work_s
    return command.amount / command.work_s if command.work_s > 0.0 else math.inf


@inner_kernel
def _fill(plant, work, state):
    """Progressive filling over the resources of the active flows."""
    count, busy = state.counters[FLOWING], _load(work, state)
    while count > 0:
        count = _fill_once(plant, work, state, count, busy, _lowest_level(state, count, busy))


@inner_kernel
def _load(work, state):
    """List the resources in use and what one rate a weight would draw from each; how many they are."""
    state.counters[SHARED] += 1
    serial, busy = state.counters[SHARED], 0
    for place in range(state.counters[FLOWING]):
        state.open[place] = place
        flow = state.flows[place]
        for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
            resource, share = work.ways[entry], work.shares[entry]
            if share <= 0.0:
                continue
            if state.stamp[resource] != serial:
                state.stamp[resource] = serial
                state.left_over[resource], state.load[resource] = state.capacity[resource], 0.0
                state.users[resource], state.used[resource] = 0, 0.0
                state.busy[busy] = resource
                busy += 1
            state.load[resource] += share * state.weight[place]
            state.users[resource] += 1
    return busy


@inner_kernel
def _lowest_level(state, count, busy):
    """Rate a weight at which the next resource is full, or the next of `count` open flows moves all that it can."""
    level = math.inf
    for position in range(count):
        level = min(level, state.limit[state.open[position]])
    for position in range(busy):
        resource = state.busy[position]
        if state.users[resource] > 0 and state.load[resource] > 0.0:
            level = min(level, max(0.0, state.left_over[resource]) / state.load[resource])
    return level


@inner_kernel
def _fill_once(plant, work, state, count, busy, level):
    """Fix those of `count` open flows that cannot grow beyond `level`; how many stay open."""
    for position in range(busy):
        resource = state.busy[position]
        left = max(0.0, state.left_over[resource])
        state.full[resource] = state.users[resource] > 0 and left <= level * state.load[resource] * (1.0 + _FULL)
    still = fixed = 0
    for position in range(count):
        place = state.open[position]
        flow = state.flows[place]
        binds, is_full = NONE, level == math.inf or state.limit[place] <= level * (1.0 + _FULL)
        for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
            if work.shares[entry] > 0.0 and state.full[work.ways[entry]]:
                is_full, binds = True, plant.classes[work.ways[entry]]
                break
        if is_full:
            state.rates[place], state.binding[place] = level * state.weight[place], binds
            state.fixed[fixed] = place
            fixed += 1
        else:
            state.open[still] = place
            still += 1
    for position in range(fixed):
        _take(work, state, state.fixed[position])
    return still


@inner_kernel
def _take(work, state, place):
    """Take what a flow draws from its resources, and note how much of its rate alone the one that binds it denies."""
    flow, rate, weight = state.flows[place], state.rates[place], state.weight[place]
    for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
        resource, share = work.ways[entry], work.shares[entry]
        if share > 0.0:
            state.left_over[resource] -= rate * share
            state.load[resource] -= weight * share
            state.users[resource] -= 1
            state.used[resource] += rate * share
    state.denied[place] = 0.0
    if state.binding[place] != NONE and state.alone[place] > 0.0:
        state.denied[place] = max(0.0, 1.0 - rate / state.alone[place])
