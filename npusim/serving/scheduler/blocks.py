"""KV memory in blocks, as `KvCache` counts it: what sequences are charged, and how many steps have room."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.scheduler.prefixes import evict
from npusim.serving.scheduler.state import NONE
from npusim.serving.scheduler.sums import pairwise_sum


@inner_part
def charge(windows, blocks):
    """Blocks less what windowed layers have let go."""
    charged = float(blocks)
    for window in range(len(windows)):
        beyond = max(0.0, charged - windows[window, 0])
        charged = charged - windows[window, 1] * beyond
    return charged


@inner_part
def blocks_for(state, tokens):
    """Blocks that a sequence of `tokens` is charged."""
    return charge(state.windows, -(-tokens // state.rules[0].block_tokens))


@inner_part
def wanted(request):
    """Tokens of KV that a request needs before it decodes."""
    return request.given if request.given > 0 else request.isl + request.generated


@inner_part
def free(state):
    """Blocks that can be had, by eviction where needed."""
    return state.rules[0].capacity - state.at[0].used


@inner_part
def take(state, blocks):
    """Take blocks; the prefix cache lets go what it must."""
    at = state.at[0]
    at.used += blocks
    at.peak = max(at.peak, at.used)
    while at.used + at.evictable > state.rules[0].capacity and at.oldest != NONE:
        evict(state)


@inner_part
def growth(state, tokens):
    """Blocks that live sequences add with `tokens` more each."""
    block, live = state.rules[0].block_tokens, state.at[0].live
    if len(state.windows) == 0:
        return float(_whole_growth(state, tokens, block, live))
    for place in range(live):
        _note_growth(state, place, state.sequences[place].held, tokens)
    return _noted_growth(state, live)


@inner_part
def _whole_growth(state, tokens, block, live):
    if block == 1:
        return live * tokens
    blocks = 0
    for place in range(live):
        held = state.sequences[place].held
        blocks += -(-(held + tokens) // block) - -(-held // block)
    return blocks


@inner_part
def growth_of_written(state, beyond_kept):
    """Blocks that live sequences add with the tokens that they have written, or with those beyond the kept ones."""
    live, block, blocks = state.at[0].live, state.rules[0].block_tokens, 0
    for place in range(live):
        own = state.sequences[place]
        first = own.held + (own.kept if beyond_kept else 0)
        last = own.held + own.written
        if len(state.windows) == 0:
            blocks += -(-last // block) - -(-first // block)
        else:
            _note_growth(state, place, first, last - first)
    return float(blocks) if len(state.windows) == 0 else _noted_growth(state, live)


@inner_part
def growth_of_answers(state, request):
    """Blocks that live sequences, prompts and KV under way and `request` add until their answers are whole."""
    at, beyond = state.at[0], state.rules[0].width - 1
    under_way = at.prefilling + at.receiving + at.arrived
    for place in range(at.live):
        coming = state.sequences[place].remaining + beyond
        _note_growth(state, place, state.sequences[place].held, coming)
    for other in range(under_way + 1):
        each = state.requests[_under_way(state, other) if other < under_way else request]
        held = wanted(each)
        _note_growth(state, at.live + other, held, each.isl + each.osl - 1 - held + beyond)
    return _noted_growth(state, at.live + under_way + 1)


@inner_part
def _under_way(state, place):
    """A request whose prompt is under way, whose KV is, or has come."""
    at = state.at[0]
    if place < at.prefilling:
        return state.sequences[place].prefilling
    if place < at.prefilling + at.receiving:
        return state.sequences[place - at.prefilling].receiving
    return state.sequences[place - at.prefilling - at.receiving].arrived


@inner_part
def _note_growth(state, place, held, steps):
    state.scratch[0, place], state.scratch[1, place] = blocks_for(state, held + steps), blocks_for(state, held)


@inner_part
def _noted_growth(state, sequences):
    """What sequences are charged after, less what they were before: each summed in NumPy's order."""
    after = pairwise_sum(state.scratch[0], 0, sequences, state.at[0].partial)
    return after - pairwise_sum(state.scratch[1], 0, sequences, state.at[0].partial)


@inner_part
def steps_that_fit(state, limit):
    """Decode steps (at most `limit`) after which live sequences still have their blocks."""
    room, width = free(state), state.rules[0].width
    if growth(state, limit * width) <= room:
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        if growth(state, middle * width) <= room:
            low = middle
        else:
            high = middle
    return low
