"""Clients: who sends the next request, and when it reaches the queue; as `serving.clients` has it."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.events import plan, plan_arrival
from npusim.serving.scheduler.queue import enqueue
from npusim.serving.scheduler.state import BURST, CLOSED, NONE, SENDING, SENDING_ENDS, SESSIONS, STREAM
from npusim.serving.scheduler.timers import plan_turn, set_turn, take_turn


@inner_part
def begin_sending(state):
    """Users send their first requests; a stream begins once the server has looked at its empty queue."""
    rules = state.rules[0]
    if rules.arrival <= BURST:
        for _ in range(rules.users):
            send_next(state)


@inner_part
def begin_stream(state):
    """The first request of a stream is due; the first turns of sessions come at their times."""
    at = state.at[0]
    if state.rules[0].arrival == STREAM:
        plan(at, SENDING, at.now_s + (state.queues[0].due_s - at.now_s))
    elif state.rules[0].arrival == SESSIONS:
        for index in range(len(state.requests)):
            if state.requests[index].is_first:
                set_turn(state, index, state.requests[index].wait_s)


@inner_part
def send_next(state):
    """A user sends the next request, if there is one: a closed user thinks it up now, a burst is due at 0."""
    at = state.at[0]
    if at.unsent < len(state.requests):
        send(state, at.now_s if state.rules[0].arrival == CLOSED else 0.0)


@inner_part
def send(state, due_s):
    """The next request is sent now; it was due at `due_s`."""
    at = state.at[0]
    at.unsent += 1
    _send_this(state, at.unsent - 1, due_s)


@inner_part
def _send_this(state, index, due_s):
    at = state.at[0]
    if state.requests[index].given == 0:
        at.pending += state.requests[index].isl
    state.requests[index].due_s, state.requests[index].sent_s = due_s, at.now_s
    if state.rules[0].takes_in or state.rules[0].drawing_s >= 0.0:
        _take_in(state, index)
    elif state.rules[0].request_s > 0.0:
        _travel(state, index)
    else:
        enqueue(state, index)


@inner_part
def _take_in(state, index):
    """The front end takes in one request after the other: an event for each."""
    at, rules = state.at[0], state.rules[0]
    begun_s = max(at.taken_in_s, at.now_s)
    if rules.drawing_s >= 0.0:
        begun_s = begun_s + rules.drawing_s
        state.requests[index].sent_s = begun_s
    at.taken_in_s = begun_s + state.requests[index].intake_s
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
    """The next request of a stream is due; the one after it, or the end, is planned. Or a turn of a session is."""
    at = state.at[0]
    if state.rules[0].arrival == SESSIONS:
        index = take_turn(state)
        plan_turn(state)
        _send_this(state, index, at.now_s)
        return
    send(state, at.now_s)
    if at.unsent < len(state.requests):
        plan(at, SENDING, at.now_s + (state.queues[at.unsent].due_s - at.now_s))
    else:
        plan(at, SENDING_ENDS, at.now_s)


@inner_part
def hear(state):
    """Clients hear of all that ended since they last did; each user sends its next request, at once or in a while."""
    at = state.at[0]
    first, last, arrival = at.told, at.ended, state.rules[0].arrival
    at.told = last
    for place in range(first, last):
        if arrival <= BURST:
            send_next(state)
        elif arrival == SESSIONS:
            after = state.requests[state.queues[place].ended].after
            if after != NONE:
                set_turn(state, after, state.requests[after].wait_s)
