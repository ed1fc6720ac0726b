"""The few events that can be due at once, and which is next: the earliest, and of several the one planned first.

That is SimPy's order (`simpy.Environment.schedule`): time, then the number of the event.
"""

from __future__ import annotations

import math

from npusim.compilation import inner_part
from npusim.serving.scheduler.state import ARRIVAL, EVENTS, NONE


@inner_part
def plan(at, event, time_s):
    """Have an event happen at `time_s`."""
    at.event_s[event], at.event_serial[event] = time_s, at.serial
    at.serial += 1


@inner_part
def next_s(at):
    """When the next event happens; infinite where none is planned."""
    soonest = math.inf
    for event in range(EVENTS):
        soonest = min(soonest, at.event_s[event])
    return soonest


@inner_part
def take_event(at):
    """Go on to the next event; NONE where none is planned."""
    first = NONE
    for event in range(EVENTS):
        if at.event_s[event] == math.inf:
            continue
        if first == NONE or _before(at, event, first):
            first = event
    if first != NONE:
        at.now_s = at.event_s[first]
        at.event_s[first] = math.inf
    return first


@inner_part
def _before(at, event, other):
    if at.event_s[event] != at.event_s[other]:
        return at.event_s[event] < at.event_s[other]
    return at.event_serial[event] < at.event_serial[other]


@inner_part
def plan_arrival(state):
    """Requests that are on their way arrive group by group."""
    at = state.at[0]
    if at.groups_begin < at.groups_end:
        group = state.queues[at.groups_begin]
        at.event_s[ARRIVAL], at.event_serial[ARRIVAL] = group.arrives_s, group.serial
