"""Requests whose prompts are computed elsewhere: their KV is kept there, comes here, and then they decode."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.memory import publish_prompt
from npusim.serving.scheduler.steps import join


@inner_part
def take_in(state, index):
    """The KV of an admitted request has come; it decodes from the next turn on."""
    at = state.at[0]
    kept = 0
    for place in range(at.receiving):
        each = state.sequences[place].receiving
        if each != index:
            state.sequences[kept].receiving = each
            kept += 1
    at.receiving = kept
    state.sequences[at.arrived].arrived = index
    at.arrived += 1


@inner_part
def join_arrived(state):
    """Requests whose KV has come decode from now on, those without a token after the last one of their prompt."""
    at = state.at[0]
    if at.arrived > 0:
        at.fresh = 0
    for place in range(at.arrived):
        index = state.sequences[place].arrived
        request = state.requests[index]
        if request.generated == 0:
            request.computed = request.given - 1
            state.sequences[at.prefilling].prefilling = index
            at.prefilling += 1
        else:
            request.computed = request.given
            publish_prompt(state, index)
            join(state, index, request.given)
    at.arrived = 0
