"""Scheduling policies, compiled: what the server does next in its turn, given what it has done so far (`stage`).

Each is the class of its name in `serving.policies`. A turn begins at stage 0; END ends it.
"""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.queue import admissible, admit
from npusim.serving.scheduler.state import DECODE, DECODE_ONE, END, MIX, PREFILL

EXCLUSIVE, ALTERNATE, HYBRID = range(3)


@inner_part
def next_action(state):
    """What the policy of the rules does next."""
    policy = state.rules[0].policy
    if policy == EXCLUSIVE:
        return _exclusive(state)
    if policy == ALTERNATE:
        return _alternate(state)
    return _hybrid(state)


@inner_part
def _exclusive(state):
    at = state.at[0]
    if at.stage == 0:
        if admissible(state):
            return PREFILL
        at.stage = 1
        if at.live > 0:
            return DECODE
    return END


@inner_part
def _alternate(state):
    at = state.at[0]
    at.stage += 1
    if at.stage == 1:
        if admissible(state):
            return PREFILL
        at.stage = 2
    if at.stage == 2 and at.live > 0:
        return DECODE_ONE if admissible(state) else DECODE
    return END


@inner_part
def _hybrid(state):
    at = state.at[0]
    at.stage += 1
    if at.stage == 1:
        _choose_chunks(state)
        if at.chunks > 0:
            return MIX
        if at.live > 0:
            return DECODE
    return END


@inner_part
def _choose_chunks(state):
    """The next chunk of each prompt under way, then of newly admitted ones, while the budget lasts."""
    at = state.at[0]
    at.chunks = 0
    left = state.rules[0].token_budget - at.live
    for place in range(at.prefilling):
        if left > 0:
            left -= _add_chunk(state, state.sequences[place].prefilling, left)
    while left > 0 and admissible(state):
        index = admit(state)
        state.sequences[at.prefilling].prefilling = index
        at.prefilling += 1
        left -= _add_chunk(state, index, left)


@inner_part
def _add_chunk(state, index, left):
    """A chunk of at most `left` tokens; how many it has."""
    at, request = state.at[0], state.requests[index]
    tokens = min(left, request.isl + request.generated - request.computed)
    state.sequences[at.chunks].chunk_request, state.sequences[at.chunks].chunk_tokens = index, tokens
    at.chunks += 1
    return tokens
