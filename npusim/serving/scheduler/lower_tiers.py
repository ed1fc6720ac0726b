"""Lower tiers of the prefix cache: where segments go that memory lets go, and what is loaded from there."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.by_age import append, take_out
from npusim.serving.scheduler.state import NONE


@inner_part
def keep_below(state, index):
    """A segment was let go: it goes to the first tier that is large enough, whose oldest ones go on to the next."""
    first = 0
    while first < len(state.tiers) and state.nodes[index].blocks > state.tiers[first].capacity:
        first += 1
    if first == len(state.tiers):
        return
    _put(state, index, first)
    for place in range(first, len(state.tiers)):
        while state.tiers[place].used > state.tiers[place].capacity:
            oldest = state.tiers[place].oldest
            leave_tier(state, oldest)
            below = place + 1
            while below < len(state.tiers) and state.nodes[oldest].blocks > state.tiers[below].capacity:
                below += 1
            if below < len(state.tiers):
                _put(state, oldest, below)


@inner_part
def _put(state, index, place):
    state.tiers[place].used += state.nodes[index].blocks
    state.nodes[index].tier = place + 1
    append(state.tiers[place], state.nodes, index)


@inner_part
def leave_tier(state, index):
    """A segment is no longer in the tier in which it is."""
    node = state.nodes[index]
    tier = state.tiers[node.tier - 1]
    tier.used -= node.blocks
    take_out(tier, state.nodes, index)
    node.tier = 0


@inner_part
def load(state, index):
    """Take what lower tiers hold behind the cached tokens of a request, where that is quicker than computing it."""
    request, block = state.requests[index], state.rules[0].block_tokens
    first = 0
    while first < request.path_nodes and state.nodes[state.paths[request.path + first]].there:
        first += 1
    last, end = first, 0
    while last < request.path_nodes and state.nodes[state.paths[request.path + last]].tier > 0:
        end = state.nodes[state.paths[request.path + last]].end
        last += 1
    tokens = min(end // block, (request.isl + request.generated - 1) // block) * block
    if tokens <= request.computed:
        return
    seconds = 0.0
    for place in range(len(state.tiers)):
        count = _tokens_in(state, request, first, last, tokens, place)
        if count > 0:
            seconds += state.tiers[place].latency_s + count * state.tiers[place].token_s
    if seconds >= (tokens - request.computed) * state.tiers[0].compute_token_s:
        return
    if request.preemptions == 0:
        for place in range(len(state.tiers)):
            state.tiers[place].hit_tokens += _tokens_in(state, request, first, last, tokens, place)
    request.computed, request.load_s = tokens, seconds


@inner_part
def _tokens_in(state, request, first, last, tokens, place):
    """Of the tokens that are loaded, those in one tier."""
    count = 0
    for depth in range(first, last):
        node = state.nodes[state.paths[request.path + depth]]
        begin = 0 if node.parent == NONE else state.nodes[node.parent].end
        if node.tier == place + 1:
            count += max(0, min(node.end, tokens) - max(begin, request.computed))
    return count
