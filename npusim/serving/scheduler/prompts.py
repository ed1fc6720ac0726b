"""Prompts that are computed alone, chunk after chunk; what chunks cost is kept by the tokens there and wanted."""

from __future__ import annotations

import math

import numpy as np

from npusim.compilation import inner_part
from npusim.serving.scheduler.events import plan
from npusim.serving.scheduler.state import (
    NEEDS_PROMPT,
    NEEDS_ROOM,
    NEEDS_STALLS,
    NONE,
    NOTHING,
    PREFILLING,
    PROMPT_GIVEN,
    PROMPT_WANTED,
    SERVER_GOES_ON,
)
from npusim.serving.scheduler.steps import has_room, note_rest, put_first, record_span, spend


@inner_part
def next_chunk(state, index):
    """Tokens of the next chunk of a prompt, the largest that the runtime has."""
    request, most = state.requests[index], state.rules[0].largest_chunk
    left = request.isl + request.generated - request.computed
    return left if most == NONE else min(left, most)


@inner_part
def compiled_chunk(state, tokens):
    """Tokens that are computed for a chunk of `tokens`, padding included."""
    for size in state.chunk_sizes:
        if size >= tokens:
            return size
    return tokens


@inner_part
def begin_prompt(state):
    """The chunks of the admitted request begin, or the caller is asked for their costs."""
    at = state.at[0]
    if at.phase == PROMPT_WANTED:
        wanted = _look_up(state)
        if wanted != NOTHING:
            return wanted
        at.phase = PROMPT_GIVEN
    prompt = state.prompts[at.prompt]
    if not has_room(state, 1, prompt.count + 1):
        return NEEDS_ROOM
    note_rest(state)
    at.steps += prompt.count
    at.phase, at.prompt_part = PREFILLING, prompt.count
    end_s = at.now_s
    for chunk in range(prompt.begin, prompt.begin + prompt.count):
        end_s += state.chunks[chunk].seconds
    if _one_delay_reaches(at.now_s, end_s):
        plan(at, SERVER_GOES_ON, end_s)
    else:
        at.prompt_part = 0
        plan_next_chunk(state)
    return NOTHING


@inner_part
def _look_up(state):
    """Find the costs of the prompt; what the caller is asked for where they are not known, or where a chunk stalls."""
    at = state.at[0]
    loads = state.requests[at.request].load_s > 0.0
    at.prompt = NONE if state.rules[0].asks_always or loads else _known(state)
    if at.prompt != NONE and state.rules[0].stalls:
        last = at.steps + state.prompts[at.prompt].count
        if last > len(state.stall_s):
            return NEEDS_STALLS
        for step in range(at.steps, last):
            if state.stall_s[step] != 0.0:
                at.prompt = NONE
    if at.prompt == NONE:
        at.phase = PROMPT_GIVEN
        return NEEDS_PROMPT
    return NOTHING


@inner_part
def _known(state):
    request = state.requests[state.at[0].request]
    place = state.prompts[state.at[0].prompt_end].first
    while place != NONE and state.prompts[place].done != request.computed:
        place = state.prompts[place].next
    return place


@inner_part
def _one_delay_reaches(now_s, end_s):
    """Whether a number added to `now_s` is `end_s` to the last bit (see `server.delay_until`)."""
    nearest = end_s - now_s
    if now_s + nearest == end_s or now_s + np.nextafter(nearest, math.inf) == end_s:
        return True
    return now_s + np.nextafter(nearest, -math.inf) == end_s


@inner_part
def plan_next_chunk(state):
    """Where each chunk is an event: the next one. False where all are done."""
    at = state.at[0]
    prompt = state.prompts[at.prompt]
    if at.prompt_part == prompt.count:
        return False
    plan(at, SERVER_GOES_ON, at.now_s + state.chunks[prompt.begin + at.prompt_part].seconds)
    at.prompt_part += 1
    return True


@inner_part
def end_prompt(state):
    """The chunks are done, and after the last one of a prompt the first token is out."""
    at, request, prompt = state.at[0], state.requests[state.at[0].request], state.prompts[state.at[0].prompt]
    for chunk in range(prompt.begin, prompt.begin + prompt.count):
        record_span(state, state.chunks[chunk].seconds, state.chunks[chunk].joules)
        spend(state.at[0], state.chunks[chunk].parts_j)
    at.worked_s = at.now_s
    at.prefill_tokens += at.prompt_end - request.computed
    request.computed = at.prompt_end
    if at.prompt_end == request.isl + request.generated:
        # A prompt that is under way chunk by chunk is the only one.
        at.prefilling = 0
        put_first(state, at.request)
