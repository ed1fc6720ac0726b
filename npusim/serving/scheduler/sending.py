"""Clients: who sends the next request, and when it reaches the queue; as `serving.clients` has it."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.events import plan, plan_arrival
from npusim.serving.scheduler.queue import enqueue
from npusim.serving.scheduler.state import CLOSED, SENDING, SENDING_ENDS, STREAM


@inner_part
def begin_sending(state):
    """Users send their first requests; a stream begins once the server has looked at its empty queue."""
    rules = state.rules[0]
    if rules.arrival != STREAM:
        for _ in range(rules.users):
            send_next(state)


@inner_part
def begin_stream(state):
    """The first request of a stream is due."""
    if state.rules[0].arrival == STREAM:
        at = state.at[0]
        plan(at, SENDING, at.now_s + (state.queues[0].due_s - at.now_s))


@inner_part
def send_next(state):
    """A user sends the next request, if there is one: a closed user thinks it up now, a burst is due at 0."""
    at = state.at[0]
    if at.unsent < len(state.requests):
        _send(state, at.now_s if state.rules[0].arrival == CLOSED else 0.0)


@inner_part
def _send(state, due_s):
    at = state.at[0]
    index = at.unsent
    at.unsent += 1
    state.requests[index].due_s, state.requests[index].sent_s = due_s, at.now_s
    if state.rules[0].intake_s > 0.0:
        _take_in(state, index)
    elif state.rules[0].request_s > 0.0:
        _travel(state, index)
    else:
        enqueue(state, index)


@inner_part
def _take_in(state, index):
    """The front end takes in one request after the other: an event for each."""
    at, rules = state.at[0], state.rules[0]
    at.taken_in_s = max(at.taken_in_s, at.now_s) + rules.intake_s
    _set_out(state, index, at.now_s + (at.taken_in_s + rules.request_s - at.now_s))


@inner_part
def _travel(state, index):
    """Requests that are sent at one time arrive together: one event for all."""
    at = state.at[0]
    last = at.groups_end - 1
    if at.groups_begin < at.groups_end and state.queues[last].sent_s == at.now_s:
        state.queues[at.travelling_end].travelling = index
        at.travelling_end += 1
        state.queues[last].end = at.travelling_end
    else:
        _set_out(state, index, at.now_s + state.rules[0].request_s)


@inner_part
def _set_out(state, index, arrives_s):
    """A request is on its way, as the first of a group."""
    at = state.at[0]
    state.queues[at.travelling_end].travelling = index
    at.travelling_end += 1
    group = state.queues[at.groups_end]
    group.sent_s, group.arrives_s, group.serial = at.now_s, arrives_s, at.serial
    group.begin, group.end = at.travelling_end - 1, at.travelling_end
    at.serial += 1
    at.groups_end += 1
    if at.groups_end - at.groups_begin == 1:
        plan_arrival(state)


@inner_part
def arrive(state):
    """The requests that were sent first of those on their way reach the queue."""
    at = state.at[0]
    group = state.queues[at.groups_begin]
    at.groups_begin += 1
    for place in range(group.begin, group.end):
        enqueue(state, state.queues[place].travelling)
    plan_arrival(state)


@inner_part
def send_from_stream(state):
    """The next request of a stream is due; the one after it, or the end, is planned."""
    at = state.at[0]
    _send(state, at.now_s)
    if at.unsent < len(state.requests):
        plan(at, SENDING, at.now_s + (state.queues[at.unsent].due_s - at.now_s))
    else:
        plan(at, SENDING_ENDS, at.now_s)


@inner_part
def hear(state):
    """Clients hear of all that ended since they last did; each user sends its next request."""
    at = state.at[0]
    first, last = at.told, at.ended
    at.told = last
    for _ in range(first, last):
        if state.rules[0].arrival != STREAM:
            send_next(state)
