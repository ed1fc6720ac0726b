"""What a step or several do to requests: tokens come out, sequences join and leave, the record is kept."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.kernels.power import IDLE
from npusim.serving.scheduler.blocks import growth, growth_of_written, take
from npusim.serving.scheduler.memory import publish_answer, publish_prompt, release
from npusim.serving.scheduler.queue import tell
from npusim.serving.scheduler.state import ROUTED
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
def note_rest(state):
    """Among several servers, the time since the last step is a span at idle power: their power adds up over time."""
    at, rules = state.at[0], state.rules[0]
    rested_s = at.now_s - at.worked_s
    if rules.arrival == ROUTED and rested_s > 0.0:
        record_span(state, rested_s, rested_s * rules.idle_w)
        at.parts_j[IDLE] += rested_s * rules.idle_w
        at.idled_s += rested_s


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
        at.pending -= request.isl if request.given == 0 else 0
    else:
        record_interval(state, at.now_s - request.last_token_s, 1.0)
    request.last_token_s = at.now_s
    request.generated += 1
    if request.generated == request.osl:
        _answer(state, index, held)
    else:
        join(state, index, held)
        at.fresh += 1


@inner_part
def join(state, index, held):
    """A request that holds `held` tokens of KV decodes from now on."""
    at, request = state.at[0], state.requests[index]
    state.sequences[at.live].live, state.sequences[at.live].held = index, held
    state.sequences[at.live].remaining, state.sequences[at.live].last_s = (
        request.osl - request.generated,
        request.last_token_s,
    )
    at.live += 1


@inner_part
def launch(state):
    """The host launches a mixed step, from when it was free, be that before the chip was; see `server.Server`."""
    at, rules = state.at[0], state.rules[0]
    now_s = at.now_s
    if not rules.ahead:
        at.seen_s = now_s
        return
    at.launched_s = max(at.seen_s, at.launched_s) + at.launch_s
    at.seen_s = now_s
    if rules.holds and at.launched_s > now_s:
        at.seen_s = at.launched_s
        _postpone(state, at.launched_s)
    at.fresh = 0


@inner_part
def _postpone(state, out_s):
    """First tokens of the step before come out at `out_s`."""
    at = state.at[0]
    for place in range(at.live - at.fresh, at.live):
        request = state.requests[state.sequences[place].live]
        if request.first_token_s == request.last_token_s:
            request.first_token_s = out_s
        request.last_token_s = out_s
        state.sequences[place].last_s = out_s


@inner_part
def _answer(state, index, held):
    if not state.rules[0].keeps:
        publish_answer(state, index, held)
        release(state, index, held)
    state.at[0].served += 1
    tell(state, index)


@inner_part
def advance(state, times_s, tokens):
    """Every live sequence has put out tokens[step, place], one per step where there is none, the last of them now."""
    at, steps = state.at[0], len(times_s)
    first_step_end = at.now_s - pairwise_sum(times_s, 1, steps - 1, state.at[0].partial)
    _record_first(state, first_step_end)
    _record_others(state, times_s)
    if len(tokens) > 0:
        _take_drafted(state, tokens)
    else:
        take(state, growth(state, steps))
        for place in range(at.live):
            state.sequences[place].held += steps
            state.sequences[place].remaining -= steps
    for place in range(at.live):
        state.sequences[place].last_s = at.now_s
    _leave(state)


@inner_part
def _record_first(state, first_step_end):
    """The times before the first of the tokens: an entry for neighbours that waited equally long."""
    alike, before = 0, 0.0
    for place in range(state.at[0].live):
        seconds = first_step_end - state.sequences[place].last_s
        if alike > 0 and seconds != before:
            record_interval(state, before, float(alike))
            alike = 0
        before = seconds
        alike += 1
    if alike > 0:
        record_interval(state, before, float(alike))


@inner_part
def _record_others(state, times_s):
    """The times before the other tokens: an entry for steps after each other that took equally long."""
    alike, live = 0, state.at[0].live
    for step in range(1, len(times_s)):
        if alike > 0 and times_s[step] != times_s[step - 1]:
            record_interval(state, times_s[step - 1], float(alike * live))
            alike = 0
        alike += 1
    if alike > 0:
        record_interval(state, times_s[len(times_s) - 1], float(alike * live))


@inner_part
def _take_drafted(state, tokens):
    """Add tokens[step, place] to the live sequences; the last step has written all that it computed, of which the
    rejected go."""
    at, last = state.at[0], len(tokens) - 1
    for place in range(at.live):
        own = state.sequences[place]
        own.kept = 0
        for step in range(len(tokens)):
            own.kept += tokens[step, place]
        own.written = own.kept + (state.rules[0].width - tokens[last, place])
    take(state, growth_of_written(state, False))
    at.used -= growth_of_written(state, True)
    for place in range(at.live):
        state.sequences[place].held += state.sequences[place].kept
        state.sequences[place].remaining -= state.sequences[place].kept


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
    """Steps until the first live sequence can be done."""
    least = state.sequences[0].remaining
    for place in range(1, state.at[0].live):
        least = min(least, state.sequences[place].remaining)
    return -(-least // state.rules[0].width)


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
