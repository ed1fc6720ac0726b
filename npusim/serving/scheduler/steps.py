"""What a step or several do to requests: tokens come out, sequences join and leave, the record is kept."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.blocks import growth, take
from npusim.serving.scheduler.memory import publish_prompt, release
from npusim.serving.scheduler.queue import tell
from npusim.serving.scheduler.sums import pairwise_sum


@inner_part
def has_room(state, intervals, spans):
    """Whether the record has room for so many more entries."""
    at = state.at[0]
    return at.intervals + intervals <= len(state.record) and at.spans + spans <= len(state.record)


@inner_part
def record_span(state, seconds, joules):
    at = state.at[0]
    state.record[at.spans].span_s, state.record[at.spans].span_j = seconds, joules
    at.spans += 1


@inner_part
def record_interval(state, seconds, weight):
    at = state.at[0]
    state.record[at.intervals].interval_s, state.record[at.intervals].interval_weight = seconds, weight
    at.intervals += 1


@inner_part
def spend(at, parts_j):
    """Add joules by part."""
    for part in range(len(parts_j)):
        at.parts_j[part] += parts_j[part]


@inner_part
def put_first(state, index):
    """The prompt is computed and with it one token is out; the request joins the live ones, or is done."""
    at, request = state.at[0], state.requests[index]
    held = request.isl + request.generated
    publish_prompt(state, index)
    if request.first_token_s < 0.0:
        request.first_token_s = at.now_s
    else:
        record_interval(state, at.now_s - request.last_token_s, 1.0)
    request.last_token_s = at.now_s
    request.generated += 1
    if request.generated == request.osl:
        _answer(state, index, held)
        return
    state.sequences[at.live].live, state.sequences[at.live].held = index, held
    state.sequences[at.live].remaining, state.sequences[at.live].last_s = request.osl - request.generated, at.now_s
    at.live += 1


@inner_part
def _answer(state, index, held):
    release(state, index, held)
    state.at[0].served += 1
    tell(state, index)


@inner_part
def advance(state, times_s):
    """Every live sequence has put out one token per step, the last of them now."""
    at, steps = state.at[0], len(times_s)
    first_step_end = at.now_s - pairwise_sum(times_s, 1, steps - 1, state.at[0].partial)
    for place in range(at.live):
        record_interval(state, first_step_end - state.sequences[place].last_s, 1.0)
    for step in range(1, steps):
        record_interval(state, times_s[step], float(at.live))
    take(state, growth(state, steps))
    for place in range(at.live):
        state.sequences[place].held += steps
        state.sequences[place].remaining -= steps
        state.sequences[place].last_s = at.now_s
    _leave(state)


@inner_part
def _leave(state):
    """Sequences that have put out all their tokens leave, in the order in which they joined."""
    at = state.at[0]
    kept = 0
    for place in range(at.live):
        index = state.sequences[place].live
        if state.sequences[place].remaining > 0:
            state.sequences[kept].live, state.sequences[kept].held = index, state.sequences[place].held
            state.sequences[kept].remaining, state.sequences[kept].last_s = (
                state.sequences[place].remaining,
                state.sequences[place].last_s,
            )
            kept += 1
        else:
            request = state.requests[index]
            request.last_token_s, request.generated = state.sequences[place].last_s, request.osl
            _answer(state, index, state.sequences[place].held)
    at.live = kept


@inner_part
def shortest_answer(state):
    """Tokens until the first live sequence is done."""
    least = state.sequences[0].remaining
    for place in range(1, state.at[0].live):
        least = min(least, state.sequences[place].remaining)
    return least


@inner_part
def end_chunk(state, index, tokens):
    """A chunk of a prompt was computed in a mixed step; with the last one the request begins to decode."""
    at, request = state.at[0], state.requests[index]
    request.computed += tokens
    at.prefill_tokens += tokens
    if request.computed < request.isl + request.generated:
        return
    kept = 0
    for place in range(at.prefilling):
        each = state.sequences[place].prefilling
        if each != index:
            state.sequences[kept].prefilling = each
            kept += 1
    at.prefilling = kept
    put_first(state, index)
