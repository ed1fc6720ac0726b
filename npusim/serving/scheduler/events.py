"""The few events that can be due at once, and which is next: the earliest, and of several the one planned first.

That is SimPy's order (`simpy.Environment.schedule`): time, then the number of the event.
"""

from __future__ import annotations

import math

from npusim.compilation import inner_kernel
from npusim.serving.scheduler.state import ARRIVAL, EVENTS, NONE


@inner_kernel
def plan(state, event, time_s):
    """Have an event happen at `time_s`."""
    state.event_s[event], state.event_serial[event] = time_s, state.at[0].serial
    state.at[0].serial += 1


@inner_kernel
def next_s(state):
    """When the next event happens; infinite where none is planned."""
    soonest = math.inf
    for event in range(EVENTS):
        soonest = min(soonest, state.event_s[event])
    return soonest


@inner_kernel
def take_event(state):
    """Go on to the next event; NONE where none is planned."""
    first = NONE
    for event in range(EVENTS):
        time_s = state.event_s[event]
        if time_s == math.inf:
            continue
        if first == NONE or time_s < state.event_s[first]:
            first = event
        elif time_s == state.event_s[first] and state.event_serial[event] < state.event_serial[first]:
            first = event
    if first != NONE:
        state.at[0].now_s = state.event_s[first]
        state.event_s[first] = math.inf
    return first


@inner_kernel
def plan_arrival(state):
    """Requests that are on their way arrive group by group."""
    at = state.at[0]
    if at.groups_begin < at.groups_end:
        group = state.groups[at.groups_begin]
        state.event_s[ARRIVAL], state.event_serial[ARRIVAL] = group.due_s, group.serial
