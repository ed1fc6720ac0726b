"""From event to event: commands end, others begin, flows get new rates."""

from __future__ import annotations

import math

from npusim.compilation import entry, inner_kernel
from npusim.engine.event.core.sharing import own_limit, share
from npusim.engine.event.core.state import (
    DIRTY,
    ENDED,
    EVENTS,
    FILL,
    FLOWING,
    HEAPED,
    HISTORY,
    HISTORY_FULL,
    INPUTS,
    LEVELS,
    MAIN_PROGRAM,
    MESSAGE,
    NEEDS_MIX,
    NEVER_FITS,
    NONE,
    READY,
    ROOM,
    RUNNING,
    SHARED,
    START_UP,
    STATUS,
    TRANSFER,
    TURN,
)
from npusim.engine.event.core.timers import set_timer, take_timer

_ALIKE = 2.0**-40
"""Part by which two times that are the same may differ, for rounding."""
_IDLE, _FOR_INPUTS, _FOR_ROOM, _BUSY = range(4)


@entry
def run_loop(plant, work, state):
    """Run until everything is done or nothing can go on, or until the caller must help; the status says which."""
    if state.counters[EVENTS] == 0:
        _begin_all(work, state)
    while True:
        _attend(plant, work, state)
        if state.counters[STATUS] == NEVER_FITS:
            return NEVER_FITS
        if state.counters[DIRTY]:
            if state.counters[HISTORY] == len(state.history):
                return HISTORY_FULL
            if not share(plant, work, state):
                return NEEDS_MIX
            _keep_rates(plant, state)
        timer = state.heap_time[0] if state.counters[HEAPED] > 0 else math.inf
        soonest = _soonest_end(state)
        flow = state.clock[0] + soonest
        until = min(timer, flow)
        if until == math.inf:
            return RUNNING
        _pass_time(work, state, until, soonest if flow <= timer else -1.0)
        while state.counters[HEAPED] > 0 and state.heap_time[0] <= until:
            state.counters[EVENTS] += 1
            _on_timer(work, state, take_timer(state))


@inner_kernel
def _begin_all(work, state):
    """Look at every queue, and begin what has no queue and no inputs."""
    for queue in range(len(state.head)):
        _look_at(state, queue)
    for command in range(len(work.commands)):
        if work.commands[command].queue == NONE and state.pending[command] == 0:
            _look_at(state, -1 - command)


@inner_kernel
def _attend(plant, work, state):
    """Let the queues on the list go on, first come, first served; beginning one may add others."""
    place = 0
    while place < state.counters[READY]:
        listed = state.ready[place]
        place += 1
        if listed < 0:
            _start(plant, work, state, -1 - listed, False)
        elif state.waiting[listed] != _BUSY and state.head[listed] < work.order_ends[listed + 1]:
            _go_on(plant, work, state, listed)
    state.counters[READY] = 0


@inner_kernel
def _go_on(plant, work, state, queue):
    """Begin the next command of a queue, unless its inputs or its room are missing."""
    command = work.order[state.head[queue]]
    if state.pending[command] > 0:
        state.waiting[queue] = _FOR_INPUTS
        return
    own, waited = work.commands[command], state.waiting[queue] == _FOR_ROOM
    if own.claim > 0.0:
        if own.claim > plant.pools[own.pool]:
            state.counters[STATUS] = NEVER_FITS
            return
        if state.held[own.pool] + own.claim > plant.pools[own.pool]:
            state.waiting[queue] = _FOR_ROOM
            state.room_queue[own.pool] = queue
            return
        _hold(state, own.pool, own.claim)
    state.waiting[queue] = _BUSY
    _start(plant, work, state, command, waited)


@inner_kernel
def _hold(state, pool, amount):
    """Change what a pool holds, and keep its course."""
    state.held[pool] += amount
    place = state.counters[LEVELS]
    state.levels[place, 0], state.levels[place, 1], state.levels[place, 2] = state.clock[0], pool, state.held[pool]
    state.counters[LEVELS] += 1


@inner_kernel
def _note(work, state, command, earlier, freed):
    """Remember which command this one waited for last: an input, `earlier` in its queue, or who `freed` its room."""
    cause, waited = NONE, INPUTS
    for place in range(work.input_ends[command], work.input_ends[command + 1]):
        if cause == NONE or state.end[work.inputs[place]] > state.end[cause]:
            cause = work.inputs[place]
    if freed != NONE and (cause == NONE or state.end[freed] > state.end[cause]):
        cause, waited = freed, ROOM
    if earlier != NONE and (cause == NONE or state.end[earlier] > state.end[cause]):
        cause, waited = earlier, TURN
    state.cause[command], state.waited[command] = cause, waited
    state.since[command] = state.end[cause] if cause != NONE else 0.0


@inner_kernel
def _before(work, state, queue, distance):
    """The command `distance` places before the head of a queue; NONE without."""
    place = state.head[queue] - distance
    return work.order[place] if place >= work.order_ends[queue] else NONE


@inner_kernel
def _start(plant, work, state, command, waited):
    """A command whose turn it is begins."""
    own, now = work.commands[command], state.clock[0]
    earlier = NONE if own.queue == NONE else _before(work, state, own.queue, 1)
    freed = state.freed_by[own.pool] if waited else NONE
    if own.style == TRANSFER:
        accepted = _before(work, state, own.queue, plant.depths[own.queue])
        _note(work, state, command, accepted, freed)
        ready = state.since[command] + own.fixed_s
        if ready > now:
            state.waited[command] = START_UP
            set_timer(state, ready, command)
            return
        _note(work, state, command, earlier, freed)
        _flow(work, state, command)
        return
    _note(work, state, command, earlier, freed)
    state.start[command] = now
    if own.style == MESSAGE:
        if own.fixed_s > 0.0:
            set_timer(state, now + own.fixed_s, command)
        else:
            _flow(work, state, command)
        return
    seconds = own.fixed_s + own.work_s
    if seconds == 0.0:
        _finish(work, state, command)
    elif own.style == FILL:
        state.sub[own.port] = own.touched / seconds
        _flow(work, state, command)
    else:
        if own.style == MAIN_PROGRAM:
            state.main[own.port] = own.touched / seconds
            state.counters[DIRTY] = 1
        set_timer(state, now + seconds, command)


@inner_kernel
def _on_timer(work, state, command):
    """A start-up is over, or a program."""
    own = work.commands[command]
    if own.style in (TRANSFER, MESSAGE):
        _flow(work, state, command)
        return
    if own.style == MAIN_PROGRAM:
        state.main[own.port] = 0.0
        state.counters[DIRTY] = 1
    _finish(work, state, command)


@inner_kernel
def _flow(work, state, command):
    """The bytes of a command begin to flow."""
    own = work.commands[command]
    if own.style == TRANSFER:
        state.start[command] = state.clock[0]
    amount = own.touched if own.style == FILL else own.amount
    if amount <= 0.0:
        _finish(work, state, command)
        return
    place = state.counters[FLOWING]
    state.flows[place], state.left[place], state.rates[place], state.alone[place] = command, amount, 0.0, 0.0
    state.weight[place] = own.streams if own.streams > 0.0 else 1.0
    state.limit[place] = own_limit(own) / state.weight[place]
    state.binding[place] = NONE
    state.counters[FLOWING] += 1
    state.counters[DIRTY] = 1


@inner_kernel
def _finish(work, state, command):
    """A command is done: its queue goes on, room is given back, and what waited for it may begin."""
    own, now = work.commands[command], state.clock[0]
    state.end[command], state.done[command] = now, True
    state.counters[ENDED] += 1
    state.counters[EVENTS] += 1
    if own.queue != NONE:
        state.head[own.queue] += 1
        state.waiting[own.queue] = _IDLE
        _look_at(state, own.queue)
    if own.release > 0.0:
        _hold(state, own.pool, -own.release)
        state.freed_by[own.pool] = command
        if state.room_queue[own.pool] != NONE:
            _look_at(state, state.room_queue[own.pool])
            state.room_queue[own.pool] = NONE
    for place in range(work.follower_ends[command], work.follower_ends[command + 1]):
        follower = work.followers[place]
        state.pending[follower] -= 1
        if state.pending[follower] > 0:
            continue
        queue = work.commands[follower].queue
        if queue == NONE:
            _look_at(state, -1 - follower)
        elif state.waiting[queue] == _FOR_INPUTS and work.order[state.head[queue]] == follower:
            _look_at(state, queue)


@inner_kernel
def _look_at(state, queue):
    """Put a queue on the list, or -1 - command for one without."""
    state.ready[state.counters[READY]] = queue
    state.counters[READY] += 1


@inner_kernel
def _soonest_end(state):
    """Seconds until the first flow ends; `due` has those of each, infinite where it stands still."""
    soonest = math.inf
    for place in range(state.counters[FLOWING]):
        rate = state.rates[place]
        state.due[place] = state.left[place] / rate if rate > 0.0 else math.inf
        soonest = min(soonest, state.due[place])
    return soonest


@inner_kernel
def _pass_time(work, state, until, last):
    """Let flows run to `until`, and end those that are due within `last` seconds (negative: none)."""
    elapsed = until - state.clock[0]
    state.clock[0] = until
    kept = ended = 0
    for place in range(state.counters[FLOWING]):
        command, rate, binds = state.flows[place], state.rates[place], state.binding[place]
        if state.denied[place] > 0.0:
            state.lost[command, binds] += elapsed * state.denied[place]
        if state.due[place] <= last * (1.0 + _ALIKE):
            state.ended[ended] = command
            ended += 1
            continue
        state.left[kept] = max(0.0, state.left[place] - elapsed * rate)
        if kept < place:
            state.flows[kept], state.rates[kept], state.alone[kept], state.binding[kept] = (
                command,
                rate,
                state.alone[place],
                binds,
            )
            state.weight[kept], state.limit[kept], state.denied[kept] = (
                state.weight[place],
                state.limit[place],
                state.denied[place],
            )
        kept += 1
    state.counters[FLOWING] = kept
    if ended > 0:
        state.counters[DIRTY] = 1
    for place in range(ended):
        command = state.ended[place]
        own = work.commands[command]
        if own.style == FILL:
            state.sub[own.port] = 0.0
        _finish(work, state, command)


@inner_kernel
def _keep_rates(plant, state):
    """Add the rates of the traced resources to the history; of several at one time the last counts."""
    place = state.counters[HISTORY]
    for column in range(1, state.history.shape[1]):
        resource = plant.traced[column - 1]
        in_use = state.stamp[resource] == state.counters[SHARED]
        state.history[place, column] = state.used[resource] if in_use else 0.0
    state.history[place, 0] = state.clock[0]
    if place > 0 and state.history[place - 1, 0] == state.clock[0]:
        for column in range(state.history.shape[1]):
            state.history[place - 1, column] = state.history[place, column]
        place -= 1
    changed = place == 0
    for column in range(1, state.history.shape[1]):
        changed = changed or state.history[place, column] != state.history[place - 1, column]
    state.counters[HISTORY] = place + 1 if changed else place
