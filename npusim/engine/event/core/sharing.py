"""How flows share resources: max-min fair by progressive filling, each flow in proportion to its engines.

All rates grow together, in proportion to the flows' weights, until a resource is full; the flows that use it keep their
rates, the others grow on (Bertsekas and Gallager 1992, "Data Networks", section 6.5.2). A flow may use more of one
resource than of another: a transfer whose addresses fall on few channels is held up by the fullest.
"""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import kernel
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
    STATUS,
    WANTED,
    WANTED_MEMORY,
)

_FULL = 1e-12
"""Part of a resource's capacity within which it is full, for rounding."""


@kernel
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


@kernel
def _set_memories(plant, work, state):
    """Capacity of each memory's channels under the flows that draw on it."""
    for number in range(len(plant.memories)):
        memory = plant.memories[number]
        streams, mix = 0.0, np.int64(0)
        for place in range(state.counters[FLOWING]):
            command = work.commands[state.flows[place]]
            if command.memory == number or command.second_memory == number:
                streams += command.streams
                own = command.pattern if command.memory == number else command.second_pattern
                bits = own * BITS_OF_PATTERN
                if (mix >> bits) & MOST_OF_PATTERN < MOST_OF_PATTERN:
                    mix += np.int64(1) << bits
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


@kernel
def _find(mix, state):
    """Where a mix stands among the known ones; NONE where it does not."""
    for known in range(state.counters[KNOWN]):
        if state.mixes[known] == mix:
            return known
    return NONE if state.counters[KNOWN] < MOST_MIXES else MOST_MIXES - 1


@kernel
def memory_rate(streams, memory):
    """Bytes/s that `streams` engines draw together: as `drawn_bandwidth` of the cost kernels, by a p-norm."""
    asked = streams * memory.engine_rate
    if not math.isfinite(asked):
        return memory.limit
    least, most = min(asked, memory.limit), max(asked, memory.limit)
    part = least / most if math.isfinite(most) else 0.0
    return least * (1.0 + part**memory.sharpness) ** (-1.0 / memory.sharpness)


@kernel
def _note_rates_alone(plant, work, state):
    """Bytes/s that each flow would have with all its resources for itself."""
    for place in range(state.counters[FLOWING]):
        if state.alone[place] == 0.0:
            state.alone[place] = _rate_alone(plant, work, state.flows[place])


@kernel
def _rate_alone(plant, work, flow):
    command = work.commands[flow]
    rate = _own_limit(command)
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


@kernel
def _own_limit(command):
    """Bytes/s that a fill asks for, or that a flow's own engine moves; infinite where nothing limits it."""
    if command.style == FILL:
        return command.touched / command.work_s
    return command.amount / command.work_s if command.work_s > 0.0 else math.inf


@kernel
def _weight(command):
    return command.streams if command.streams > 0.0 else 1.0


@kernel
def _fill(plant, work, state):
    """Progressive filling over the resources of the active flows."""
    count = state.counters[FLOWING]
    for place in range(count):
        flow = state.flows[place]
        for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
            resource = work.ways[entry]
            state.left_over[resource] = state.capacity[resource]
            state.load[resource] = 0.0
            state.users[resource] = 0
    for place in range(count):
        flow = state.flows[place]
        state.rates[place] = -1.0
        for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
            if work.shares[entry] > 0.0:
                state.load[work.ways[entry]] += work.shares[entry] * _weight(work.commands[flow])
                state.users[work.ways[entry]] += 1
    open_flows = count
    while open_flows > 0:
        open_flows -= _fill_once(plant, work, state, _lowest_level(work, state))


@kernel
def _lowest_level(work, state):
    """Rate a weight at which the next resource is full, or the next flow moves all that it can."""
    level = math.inf
    for place in range(state.counters[FLOWING]):
        if state.rates[place] >= 0.0:
            continue
        flow = state.flows[place]
        level = min(level, _own_limit(work.commands[flow]) / _weight(work.commands[flow]))
        for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
            resource = work.ways[entry]
            if state.users[resource] > 0 and work.shares[entry] > 0.0 and state.load[resource] > 0.0:
                level = min(level, max(0.0, state.left_over[resource]) / state.load[resource])
    return level


@kernel
def _fill_once(plant, work, state, level):
    """Fix the flows that cannot grow beyond `level`; how many they are."""
    fixed = 0
    for place in range(state.counters[FLOWING]):
        if state.rates[place] >= 0.0:
            continue
        flow = state.flows[place]
        command = work.commands[flow]
        binds, is_full = NONE, level == math.inf or _own_limit(command) / _weight(command) <= level * (1.0 + _FULL)
        for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
            resource = work.ways[entry]
            used = state.users[resource] > 0 and work.shares[entry] > 0.0
            if used and max(0.0, state.left_over[resource]) <= level * state.load[resource] * (1.0 + _FULL):
                is_full, binds = True, plant.classes[resource]
                break
        if is_full:
            state.rates[place] = -2.0
            state.binding[place] = binds
            fixed += 1
    for place in range(state.counters[FLOWING]):
        if state.rates[place] == -2.0:
            flow = state.flows[place]
            weight = _weight(work.commands[flow])
            rate = level * weight
            state.rates[place] = rate
            for entry in range(work.way_ends[flow], work.way_ends[flow + 1]):
                resource = work.ways[entry]
                if work.shares[entry] > 0.0:
                    state.left_over[resource] -= rate * work.shares[entry]
                    state.load[resource] -= weight * work.shares[entry]
                    state.users[resource] -= 1
    return fixed
