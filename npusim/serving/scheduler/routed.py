"""A server whose requests are sent from outside, one by one, by whoever shares them out among several servers."""

from __future__ import annotations

from npusim.compilation import entry, inner_part
from npusim.serving.scheduler.events import next_s
from npusim.serving.scheduler.sending import send
from npusim.serving.scheduler.state import DECIDING, DECODING, NONE, SERVER_GOES_ON
from npusim.serving.scheduler.sums import pairwise_sum


@entry
def receive(state, index, isl, osl, path, path_nodes, due_s, now_s, times_s):
    """A request is sent to the server, now; it was due at `due_s`. times_s: of the steps under way.

    A run of decode steps ends with the step in which something happens, as it does where the server knows beforehand
    when that is. Returns how many steps of it are left (NONE: all), and when something next happens.
    """
    at = state.at[0]
    request = state.requests[at.unsent]
    request.index, request.isl, request.osl, request.path, request.path_nodes = index, isl, osl, path, path_nodes
    request.first_token_s = request.last_token_s = NONE
    left = _steps_left(at, now_s, times_s)
    if left != NONE:
        _shorten(at, left, now_s, times_s)
    at.now_s = now_s
    send(state, due_s)
    return left, next_s(at)


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
