"""What a request takes of KV memory and gives back, as `KvCache` has it."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.blocks import blocks_for, free, take, wanted
from npusim.serving.scheduler.lower_tiers import leave_tier, load
from npusim.serving.scheduler.prefixes import hit, make_evictable, path_blocks, take_from_list
from npusim.serving.scheduler.state import NONE


@inner_part
def need(state, index):
    """Blocks that admitting a request would take from those that are free."""
    request = state.requests[index]
    _, used = hit(state, index)
    shared = 0.0
    for depth in range(used):
        node = state.nodes[state.paths[request.path + depth]]
        if node.users > 0:
            shared += node.blocks
    return blocks_for(state, wanted(request)) - shared


@inner_part
def take_prompt(state, index):
    """Take the blocks of a request's prompt beside what the cache already holds."""
    at, request = state.at[0], state.requests[index]
    request.computed, request.kept = hit(state, index)
    tokens = wanted(request)
    if request.preemptions == 0:
        at.asked_tokens += tokens
        at.hit_tokens += request.computed
    if len(state.tiers) > 0 and request.given == 0:
        load(state, index)
    for depth in range(request.kept):
        _lock(state, state.paths[request.path + depth])
    request.blocks = blocks_for(state, tokens) - path_blocks(state, request)
    take(state, request.blocks)


@inner_part
def _lock(state, index):
    node = state.nodes[index]
    if node.users == 0:
        take_from_list(state, index)
        take(state, node.blocks)
    node.users += 1


@inner_part
def publish_prompt(state, index):
    """The prompt of a request is computed: others may now share it, as far as its own blocks hold it."""
    _publish(state, index, state.requests[index].isl)


@inner_part
def _publish(state, index, tokens):
    """Segments of the path of a request that end within so many tokens are there from now on, out of its own blocks."""
    request = state.requests[index]
    while request.kept < request.path_nodes:
        node = state.nodes[state.paths[request.path + request.kept]]
        if node.there or node.blocks > request.blocks or node.end > tokens:
            return
        if node.tier > 0:
            leave_tier(state, state.paths[request.path + request.kept])
        node.there, node.users, node.children = True, 1, 0
        if node.parent != NONE:
            state.nodes[node.parent].children += 1
        request.blocks -= node.blocks
        request.kept += 1


@inner_part
def publish_answer(state, index, held):
    """A request that holds `held` tokens is answered: the prompt that goes on from it may share its answer, too.

    From then on its path is that of that prompt. The segment with which its own prompt ends gives way to the one there
    that goes on behind it, unless another request has it.
    """
    request = state.requests[index]
    if request.next_nodes == 0 or not state.rules[0].keeps_answers:
        return
    common = 0
    while common < request.kept and _is_common(state, request, common):
        common += 1
    for depth in range(common, request.kept):
        node = state.nodes[state.paths[request.path + depth]]
        if node.users > 1 or node.children > (1 if depth < request.kept - 1 else 0):
            return
    for depth in range(common, request.kept):
        node = state.nodes[state.paths[request.path + depth]]
        node.there, node.users, node.children = False, 0, 0
    if common < request.kept and common > 0:
        state.nodes[state.paths[request.path + common - 1]].children -= 1
    request.path, request.path_nodes, request.kept = request.next_path, request.next_nodes, common
    request.blocks = blocks_for(state, held) - path_blocks(state, request)
    _publish(state, index, held)


@inner_part
def _is_common(state, request, depth):
    return depth < request.next_nodes and state.paths[request.path + depth] == state.paths[request.next_path + depth]


@inner_part
def release(state, index, held):
    """A request that holds `held` tokens leaves: its own blocks are free, its cached prompt may be evicted."""
    at, request = state.at[0], state.requests[index]
    at.used -= blocks_for(state, held) - path_blocks(state, request)
    request.blocks = 0.0
    while request.kept > 0:
        request.kept -= 1
        place = state.paths[request.path + request.kept]
        node = state.nodes[place]
        node.users -= 1
        if node.users == 0:
            at.used -= node.blocks
            make_evictable(state, place)


@inner_part
def serve_before(state):
    """Leave the prompt of the first request in the prefix cache, without a trace in the counts."""
    at, request = state.at[0], state.requests[0]
    if need(state, 0) <= free(state):
        take_prompt(state, 0)
        publish_prompt(state, 0)
        release(state, 0, request.isl)
        at.peak, at.asked_tokens, request.computed = 0.0, 0, 0
