"""Scheduling policies, compiled: what the server does next in its turn, given what it has done so far (`stage`).

Each is the class of its name in `serving.policies`. A turn begins at stage 0; END ends it.
"""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.prompts import compiled_chunk, next_chunk
from npusim.serving.scheduler.queue import admissible, admit, await_kv
from npusim.serving.scheduler.state import DECODE, DECODE_ONE, END, MIX, PREFILL, PREFILL_CHUNK

EXCLUSIVE, ALTERNATE, HYBRID, INTERLEAVED = range(4)


@inner_part
def next_action(state):
    """What the policy of the rules does next."""
    policy = state.rules[0].policy
    if policy == EXCLUSIVE:
        return _exclusive(state)
    if policy == ALTERNATE:
        return _alternate(state)
    if policy == INTERLEAVED:
        return _interleaved(state)
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
def _interleaved(state):
    at, budget = state.at[0], state.rules[0].token_budget
    if at.stage == 0:
        at.stage, at.budget_left = 1, budget
    if at.stage == 1:
        while at.prefilling == 0 and admissible(state):
            _admit_next(state)
        if at.prefilling > 0:
            size = compiled_chunk(state, next_chunk(state, state.sequences[0].prefilling))
            if size <= at.budget_left or at.budget_left == budget:
                at.budget_left -= size
                return PREFILL_CHUNK
        at.stage = 2
        if at.live > 0:
            return DECODE_ONE if at.prefilling > 0 or admissible(state) else DECODE
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
    left = state.rules[0].token_budget - state.rules[0].width * at.live
    for place in range(at.prefilling):
        if left > 0:
            left -= _add_chunk(state, state.sequences[place].prefilling, left)
    while left > 0 and admissible(state):
        if _admit_next(state):
            left -= _add_chunk(state, state.sequences[at.prefilling - 1].prefilling, left)


@inner_part
def _admit_next(state):
    """Admit the first waiting request. Whether its prompt is to be computed here."""
    at, index = state.at[0], admit(state)
    if state.requests[index].given > 0:
        await_kv(state, index)
        return False
    state.sequences[at.prefilling].prefilling = index
    at.prefilling += 1
    return True


@inner_part
def _add_chunk(state, index, left):
    """A chunk of at most `left` tokens; how many it has."""
    at, request = state.at[0], state.requests[index]
    tokens = min(left, request.isl + request.generated - request.computed)
    state.sequences[at.chunks].chunk_request, state.sequences[at.chunks].chunk_tokens = index, tokens
    at.chunks += 1
    return tokens
