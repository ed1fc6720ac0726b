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
def growth(state, steps):
    """Blocks that live sequences add in `steps` decode steps each."""
    block, live = state.rules[0].block_tokens, state.at[0].live
    if len(state.windows) == 0:
        return float(_whole_growth(state, steps, block, live))
    for place in range(live):
        _note_growth(state, place, state.sequences[place].held, steps)
    return _noted_growth(state, live)


@inner_part
def _whole_growth(state, steps, block, live):
    if block == 1:
        return live * steps
    blocks = 0
    for place in range(live):
        held = state.sequences[place].held
        blocks += -(-(held + steps) // block) - -(-held // block)
    return blocks


@inner_part
def growth_of_answers(state, request):
    """Blocks that live sequences, prompts under way and `request` add until their answers are whole."""
    at = state.at[0]
    for place in range(at.live):
        _note_growth(state, place, state.sequences[place].held, state.sequences[place].remaining)
    for place in range(at.prefilling + 1):
        each = state.requests[state.sequences[place].prefilling if place < at.prefilling else request]
        held = each.isl + each.generated
        _note_growth(state, at.live + place, held, each.isl + each.osl - 1 - held)
    return _noted_growth(state, at.live + at.prefilling + 1)


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
    room = free(state)
    if growth(state, limit) <= room:
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        if growth(state, middle) <= room:
            low = middle
        else:
            high = middle
    return low
