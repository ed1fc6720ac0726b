"""The queue: which requests it takes, which may leave it for service, and which are sent back to it."""

from __future__ import annotations

from npusim.compilation import inner_part
from npusim.serving.refusal import ACCEPTED, QUEUE_FULL, TOO_LARGE, TOO_LONG
from npusim.serving.scheduler.blocks import blocks_for, free, growth, growth_of_answers
from npusim.serving.scheduler.events import plan
from npusim.serving.scheduler.memory import need, release, take_prompt
from npusim.serving.scheduler.state import ANSWERS, NONE, ROUTED, WORK


@inner_part
def enqueue(state, index):
    """A request reaches the queue, or is refused."""
    at, request = state.at[0], state.requests[index]
    request.queued_s = at.now_s
    request.refusal = _refusal(state, index)
    if request.refusal != ACCEPTED:
        at.refused += 1
        if request.given == 0:
            at.pending -= request.isl
        tell(state, index)
        return
    state.queues[(at.waiting_first + at.waiting) % len(state.queues)].waiting = index
    at.waiting += 1
    wake(at)


@inner_part
def wake(at):
    """There is work again."""
    if not at.woken:
        at.woken = True
        plan(at, WORK, at.now_s)


@inner_part
def await_kv(state, index):
    """An admitted request has its blocks; its KV is to come from elsewhere."""
    at = state.at[0]
    state.sequences[at.receiving].receiving = index
    at.receiving += 1


@inner_part
def _refusal(state, index):
    rules, request = state.rules[0], state.requests[index]
    tokens = request.isl + request.osl - 1
    if tokens > rules.longest_context:
        return TOO_LONG
    if blocks_for(state, tokens + rules.width - 1) > rules.capacity:
        return TOO_LARGE
    if rules.max_waiting != NONE and state.at[0].waiting >= rules.max_waiting:
        return QUEUE_FULL
    return ACCEPTED


@inner_part
def tell(state, index):
    """Clients hear of an answer once the server has gone on as far as it can at this time."""
    at = state.at[0]
    if at.told == at.ended:
        plan(at, ANSWERS, at.now_s)
    state.queues[at.ended].ended = index
    at.ended += 1


@inner_part
def admissible(state):
    """Whether there is a slot and KV memory for the first waiting request and what the others will still need."""
    return state.at[0].waiting > 0 and not first_is_unseen(state) and not first_has_no_room(state)


@inner_part
def first_has_no_room(state):
    """Whether the first waiting request, if there is one, lacks a slot or KV memory."""
    at, rules = state.at[0], state.rules[0]
    if at.waiting == 0:
        return False
    sequences = at.live + at.prefilling + at.receiving + at.arrived
    if sequences >= rules.max_sequences:
        return True
    index = state.queues[at.waiting_first].waiting
    needed = need(state, index)
    beside = growth_of_answers(state, index) if rules.whole_answers else growth(state, rules.width)
    if needed + beside > free(state):
        return True
    return sequences > 0 and at.used + needed > rules.watermark * rules.capacity


@inner_part
def first_is_unseen(state):
    """Whether the next step was scheduled before the first waiting request came."""
    at = state.at[0]
    if not state.rules[0].ahead or at.waiting == 0:
        return False
    return state.requests[state.queues[at.waiting_first].waiting].queued_s > at.seen_s


@inner_part
def admit(state):
    """Give the first waiting request its KV blocks; that request."""
    at = state.at[0]
    index = state.queues[at.waiting_first].waiting
    at.waiting_first = (at.waiting_first + 1) % len(state.queues)
    at.waiting -= 1
    if state.requests[index].preemptions == 0:
        state.requests[index].admitted_s = at.now_s
    take_prompt(state, index)
    at.peak_sequences = max(at.peak_sequences, at.live + at.prefilling + at.receiving + at.arrived + 1)
    if state.rules[0].arrival == ROUTED and state.requests[index].preemptions == 0:
        state.queues[at.admitted].admitted = index
        at.admitted += 1
    return index


@inner_part
def preempt(state):
    """The sequence that joined last gives its blocks back and will be computed again."""
    at = state.at[0]
    at.live -= 1
    at.fresh = 0
    index = state.sequences[at.live].live
    request = state.requests[index]
    request.last_token_s = state.sequences[at.live].last_s
    request.generated = request.osl - state.sequences[at.live].remaining
    release(state, index, state.sequences[at.live].held)
    request.preemptions += 1
    request.computed = request.given = 0
    at.preemptions += 1
    at.waiting_first = (at.waiting_first - 1) % len(state.queues)
    state.queues[at.waiting_first].waiting = index
    at.waiting += 1
