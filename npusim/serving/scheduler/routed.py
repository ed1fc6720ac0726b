"""A server whose requests are sent from outside, one by one, by whoever shares them out among several servers."""

from __future__ import annotations

from npusim.compilation import entry, inner_part
from npusim.serving.scheduler.events import next_s
from npusim.serving.scheduler.memory import release
from npusim.serving.scheduler.queue import wake
from npusim.serving.scheduler.received import take_in
from npusim.serving.scheduler.sending import send
from npusim.serving.scheduler.state import DECIDING, DECODING, NONE, SERVER_GOES_ON
from npusim.serving.scheduler.sums import pairwise_sum

# Each returns how many steps of the run of decode steps under way are left (NONE: all; times_s: what they take), and
# when something next happens. A run ends with the step in which something happens, as where that is known beforehand.


@entry
def receive(state, index, isl, osl, given, path, path_nodes, next_path, next_nodes, due_s, now_s, times_s):
    """A request is sent to the server, now; it was due at `due_s`.

    given: tokens of its KV that come from elsewhere, and with them its first token unless this server puts that out; 0
    where the prompt is computed here. next_path, next_nodes: of the prompt that goes on from it, 0 nodes for none.
    """
    left = _interrupt(state, now_s, times_s)
    at = state.at[0]
    request = state.requests[at.unsent]
    request.index, request.isl, request.osl, request.path, request.path_nodes = index, isl, osl, path, path_nodes
    request.next_path, request.next_nodes = next_path, next_nodes
    request.first_token_s = request.last_token_s = NONE
    request.given, request.generated = given, 0 if state.rules[0].puts_first else min(given, 1)
    send(state, due_s)
    return left, next_s(at)


@entry
def deliver(state, place, first_token_s, now_s, times_s):
    """The KV of an admitted request is there, whose first token came elsewhere unless this server puts it out."""
    left = _interrupt(state, now_s, times_s)
    request = state.requests[place]
    if not state.rules[0].puts_first:
        request.first_token_s = request.last_token_s = first_token_s
    take_in(state, place)
    wake(state.at[0])
    return left, next_s(state.at[0])


@entry
def collect(state, place, now_s, times_s):
    """The KV of an answered request, kept until now, is no longer needed."""
    left = _interrupt(state, now_s, times_s)
    release(state, place, state.requests[place].isl)
    wake(state.at[0])
    return left, next_s(state.at[0])


@inner_part
def _interrupt(state, now_s, times_s):
    """Something happens now."""
    at = state.at[0]
    left = _steps_left(at, now_s, times_s)
    if left != NONE:
        _shorten(at, left, now_s, times_s)
    at.now_s = now_s
    return left


@inner_part
def _steps_left(at, now_s, times_s):
    """As many as `engine.run.decode_run` does until `now_s`."""
    if at.phase != DECODING:
        return NONE
    elapsed, horizon_s = 0.0, now_s - at.begun_s
    for step in range(len(times_s)):
        if not elapsed < horizon_s:
            return step
        elapsed += times_s[step]
    return NONE


@inner_part
def _shorten(at, left, now_s, times_s):
    at.steps -= len(times_s) - left
    if left == 0:
        at.phase, at.event_s[SERVER_GOES_ON] = DECIDING, now_s
    else:
        at.seen_s = at.begun_s + pairwise_sum(times_s, 0, left - 1, at.partial)
        at.event_s[SERVER_GOES_ON] = at.begun_s + pairwise_sum(times_s, 0, left, at.partial)
