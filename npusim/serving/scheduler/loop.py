"""From event to event, until the engine is asked for costs or nothing is left to happen."""

from __future__ import annotations

from npusim.compilation import entry, inner_part
from npusim.serving.scheduler.blocks import steps_that_fit
from npusim.serving.scheduler.events import next_s, plan, take_event
from npusim.serving.scheduler.memory import serve_before
from npusim.serving.scheduler.prompts import begin_prompt, end_prompt, plan_next_chunk
from npusim.serving.scheduler.queue import admit, first_is_unseen, preempt
from npusim.serving.scheduler.sending import arrive, begin_sending, begin_stream, hear, send_from_stream
from npusim.serving.scheduler.state import (
    ANSWERS,
    ARRIVAL,
    AT_REST,
    BEGINS,
    DECIDING,
    DECODE_ONE,
    DECODING,
    DONE,
    END,
    MIX,
    MIXING,
    NEEDS_ROOM,
    NEEDS_RUN,
    NEEDS_STEP,
    NONE,
    NOTHING,
    PREFILL,
    PREFILLING,
    PROMPT_GIVEN,
    PROMPT_WANTED,
    RUN_GIVEN,
    SENDING,
    SERVER_GOES_ON,
    STEP_GIVEN,
    TURN_BEGINS,
    TURN_ENDS,
    WORK,
)
from npusim.serving.scheduler.steps import advance, end_chunk, has_room, record_span, shortest_answer, spend
from npusim.serving.scheduler.sums import pairwise_sum
from npusim.serving.scheduler.turns import next_action


@entry
def go_on(state, times_s, joules, parts_j):
    """Serve until the caller is needed: what for, and the most steps and seconds of the run that it is to cost.

    times_s, joules: of each step that was asked for; parts_j: of all of them.
    """
    at = state.at[0]
    if at.phase == BEGINS:
        _begin(state)
    while True:
        wanted, steps, horizon_s = _serve(state, times_s, joules, parts_j)
        if wanted != NOTHING:
            return wanted, steps, horizon_s
        if not at.sending:
            at.sending = True
            begin_stream(state)
        if not _wait(state):
            return DONE, 0, 0.0


@inner_part
def _begin(state):
    """Users send their first requests before the server looks for any; a stream begins after that look."""
    if state.rules[0].warm:
        serve_before(state)
    begin_sending(state)
    state.at[0].phase = TURN_BEGINS


@inner_part
def _wait(state):
    """Let events happen until the server goes on. False where none is left."""
    while True:
        event = take_event(state.at[0])
        if event == NONE:
            return False
        if event == SERVER_GOES_ON or (event == WORK and state.at[0].phase == AT_REST):
            return True
        if event == ANSWERS:
            hear(state)
        elif event == SENDING:
            send_from_stream(state)
        elif event == ARRIVAL:
            arrive(state)


@inner_part
def _serve(state, times_s, joules, parts_j):
    """The server goes on until it waits for an event (NOTHING) or needs the caller."""
    at = state.at[0]
    while True:
        if at.phase == DECIDING:
            wanted, steps, horizon_s = _decide(state)
            if wanted != NOTHING:
                return wanted, steps, horizon_s
        elif at.phase == PREFILLING:
            if plan_next_chunk(state):
                return NOTHING, 0, 0.0
            end_prompt(state)
            at.phase = DECIDING
        elif at.phase == PROMPT_WANTED or at.phase == PROMPT_GIVEN:
            return begin_prompt(state), 0, 0.0
        elif at.phase == RUN_GIVEN or at.phase == STEP_GIVEN:
            return _begin_steps(state, times_s), 0, 0.0
        elif at.phase == DECODING or at.phase == MIXING:
            _end_steps(state, times_s, joules, parts_j)
            at.phase = DECIDING
        elif not _between_turns(state):
            return NOTHING, 0, 0.0


@inner_part
def _between_turns(state):
    """Begin a turn, once all that happens at this time has happened. False where the server waits."""
    at = state.at[0]
    if at.phase == TURN_ENDS and next_s(at) <= at.now_s:
        plan(at, SERVER_GOES_ON, at.now_s)
        return False
    if at.phase == AT_REST:
        at.rested, at.rested_s = True, at.now_s - at.resting_since_s
    elif at.waiting + at.prefilling + at.live == 0:
        at.phase, at.woken, at.resting_since_s = AT_REST, False, at.now_s
        return False
    if at.prefilling + at.live == 0:
        at.seen_s = at.now_s
    at.phase, at.stage = DECIDING, 0
    return True


@inner_part
def _decide(state):
    """Begin what the policy does next: what the caller is asked for, most steps, seconds until something happens."""
    at = state.at[0]
    action = next_action(state)
    if action == END:
        at.phase = TURN_ENDS
    elif action == PREFILL:
        at.request = admit(state)
        at.seen_s = at.now_s
        at.phase = PROMPT_WANTED
    elif action == MIX:
        if steps_that_fit(state, 1) > 0:
            at.phase = STEP_GIVEN
            return NEEDS_STEP, 1, 0.0
        preempt(state)
    else:
        is_one = action == DECODE_ONE or first_is_unseen(state)
        fitting = steps_that_fit(state, 1 if is_one else shortest_answer(state))
        horizon_s = next_s(at) - at.now_s
        if fitting == 0:
            preempt(state)
        elif horizon_s > 0.0:
            at.phase = RUN_GIVEN
            return NEEDS_RUN, fitting, horizon_s
    return NOTHING, 0, 0.0


@inner_part
def _begin_steps(state, times_s):
    """The steps that were costed begin."""
    at = state.at[0]
    if not has_room(state, at.live + len(times_s) + at.chunks, len(times_s)):
        return NEEDS_ROOM
    at.steps += len(times_s)
    at.seen_s = at.now_s + pairwise_sum(times_s, 0, len(times_s) - 1, at.partial)
    plan(at, SERVER_GOES_ON, at.now_s + pairwise_sum(times_s, 0, len(times_s), at.partial))
    at.phase = DECODING if at.phase == RUN_GIVEN else MIXING
    return NOTHING


@inner_part
def _end_steps(state, times_s, joules, parts_j):
    """The steps end: tokens are out, and the chunks of a mixed step are computed."""
    at = state.at[0]
    for step in range(len(times_s)):
        record_span(state, times_s[step], joules[step])
    spend(state.at[0], parts_j)
    if at.live > 0:
        advance(state, times_s)
    if at.phase == DECODING:
        at.decode_steps += len(times_s)
        return
    at.mixed_steps += 1
    for place in range(at.chunks):
        end_chunk(state, state.sequences[place].chunk_request, state.sequences[place].chunk_tokens)
