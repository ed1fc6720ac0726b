"""Turns of sessions whose time is set: a binary heap, whose first one is the next to be sent.

Of equal times the one that was set first, as SimPy has it (`events`).
"""

from __future__ import annotations

import math

from npusim.compilation import inner_part
from npusim.serving.scheduler.state import SENDING


@inner_part
def set_turn(state, index, wait_s):
    """A turn is to be sent in so many seconds."""
    at = state.at[0]
    place = at.timers
    at.timers += 1
    entry = state.queues[place]
    entry.timer_s, entry.timer_serial, entry.timer_of = at.now_s + wait_s, at.serial, index
    at.serial += 1
    while place > 0 and _before(state, place, (place - 1) // 2):
        _swap(state, place, (place - 1) // 2)
        place = (place - 1) // 2
    plan_turn(state)


@inner_part
def take_turn(state):
    """The turn whose time has come."""
    at = state.at[0]
    index = state.queues[0].timer_of
    at.timers -= 1
    _swap(state, 0, at.timers)
    place = 0
    while True:
        first = place
        for child in range(2 * place + 1, min(2 * place + 3, at.timers)):
            if _before(state, child, first):
                first = child
        if first == place:
            break
        _swap(state, place, first)
        place = first
    return index


@inner_part
def plan_turn(state):
    """The next turn is the event that is due; none where no time is set."""
    at = state.at[0]
    at.event_s[SENDING] = math.inf
    if at.timers > 0:
        at.event_s[SENDING], at.event_serial[SENDING] = state.queues[0].timer_s, state.queues[0].timer_serial


@inner_part
def _before(state, place, other):
    one, two = state.queues[place], state.queues[other]
    if one.timer_s != two.timer_s:
        return one.timer_s < two.timer_s
    return one.timer_serial < two.timer_serial


@inner_part
def _swap(state, place, other):
    one, two = state.queues[place], state.queues[other]
    one.timer_s, two.timer_s = two.timer_s, one.timer_s
    one.timer_serial, two.timer_serial = two.timer_serial, one.timer_serial
    one.timer_of, two.timer_of = two.timer_of, one.timer_of
