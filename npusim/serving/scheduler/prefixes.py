"""The prefix cache: which segments of prompts are there, who uses them, and which goes first.

Prompts that begin alike are one path of nodes, so that a radix tree (Zheng et al., SGLang, arXiv 2312.07104) is a mark
at each node: its segment is there behind those before it. Nodes without users are listed in the order in which their
last one left.
"""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.by_age import append, take_out
from npusim.serving.scheduler.lower_tiers import keep_below
from npusim.serving.scheduler.state import NONE


@inner_part
def hit(state, index):
    """Cached leading tokens of a request (whole blocks, never its last token), and how many segments it uses."""
    request, block = state.requests[index], state.rules[0].block_tokens
    depth = 0
    while depth < request.path_nodes and state.nodes[state.paths[request.path + depth]].there:
        depth += 1
    if depth == 0:
        return 0, 0
    end = state.nodes[state.paths[request.path + depth - 1]].end
    tokens = min(end // block, (request.isl + request.generated - 1) // block) * block
    if tokens == 0:
        return 0, 0
    used = 0
    while used < depth and state.nodes[state.paths[request.path + used]].end <= tokens + block:
        used += 1
    return tokens, used


@inner_part
def path_blocks(state, request):
    """Whole blocks of the cached prompt that a request keeps; a block that it fills in part is its own."""
    if request.kept == 0:
        return 0.0
    return state.nodes[state.paths[request.path + request.kept - 1]].whole_blocks


@inner_part
def make_evictable(state, index):
    """Put a node that nobody uses any more at the end of the list."""
    state.at[0].evictable += state.nodes[index].blocks
    append(state.at[0], state.nodes, index)


@inner_part
def take_from_list(state, index):
    """Take a node out of the list, because it is used again or goes."""
    state.at[0].evictable -= state.nodes[index].blocks
    take_out(state.at[0], state.nodes, index)


@inner_part
def evict(state):
    """Drop the least recently used node that has no children (a used child keeps its parents in use)."""
    index = state.at[0].oldest
    while state.nodes[index].children > 0:
        index = state.nodes[index].newer
    take_from_list(state, index)
    state.nodes[index].there = False
    keep_below(state, index)
    if state.nodes[index].parent != NONE:
        state.nodes[state.nodes[index].parent].children -= 1
