"""Timers as a binary heap: the earliest first, and of several at one time the one that was set first."""

from __future__ import annotations

from npusim.compilation import inner_kernel
from npusim.engine.event.core.state import HEAPED, SERIAL


@inner_kernel
def set_timer(state, time, command):
    """Have `command` looked at again at `time`, in seconds."""
    place = state.counters[HEAPED]
    state.counters[HEAPED] += 1
    serial = state.counters[SERIAL]
    state.counters[SERIAL] += 1
    while place > 0:
        parent = (place - 1) // 2
        if not _before(time, serial, state, parent):
            break
        _move(state, parent, place)
        place = parent
    state.heap_time[place], state.heap_item[place, 0], state.heap_item[place, 1] = time, serial, command


@inner_kernel
def take_timer(state):
    """Remove the earliest timer; its command."""
    command = state.heap_item[0, 1]
    state.counters[HEAPED] -= 1
    last = state.counters[HEAPED]
    time, serial, moved = state.heap_time[last], state.heap_item[last, 0], state.heap_item[last, 1]
    place = 0
    while 2 * place + 1 < last:
        child = 2 * place + 1
        if child + 1 < last and _before(state.heap_time[child + 1], state.heap_item[child + 1, 0], state, child):
            child += 1
        if _before(time, serial, state, child):
            break
        _move(state, child, place)
        place = child
    state.heap_time[place], state.heap_item[place, 0], state.heap_item[place, 1] = time, serial, moved
    return command


@inner_kernel
def _before(time, serial, state, place):
    if time != state.heap_time[place]:
        return time < state.heap_time[place]
    return serial < state.heap_item[place, 0]


@inner_kernel
def _move(state, source, target):
    state.heap_time[target] = state.heap_time[source]
    state.heap_item[target, 0], state.heap_item[target, 1] = state.heap_item[source, 0], state.heap_item[source, 1]
