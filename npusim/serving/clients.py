"""Clients: who sends the requests, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import simpy

from npusim.serving.request import Request
from npusim.serving.server import Process, Server
from npusim.workload.arrivals import FIRST, Arrival, Burst, Closed, Turns


def start_clients(
    env: simpy.Environment, server: Server, requests: Sequence[Request], arrival: Arrival, seed: int
) -> None:
    """Start the processes that send `requests` to `server` as `arrival` says.

    Closed and burst keep at most `users` requests in flight, as `vllm bench serve --max-concurrency` does. Under
    burst every request is due at time 0, so that its wait at the client is seen; a closed user thinks up its next
    request when the last one is answered.
    """
    if isinstance(arrival, Closed | Burst):
        queue = deque(requests)
        for _ in range(min(arrival.users, len(requests))):
            _send(env, server, queue, isinstance(arrival, Closed))
    elif isinstance(arrival, Turns):
        _when_begun(env, partial(_begin_sessions, env, server, requests, arrival))
    else:
        times = arrival.times_s(len(requests), seed)
        env.process(_stream(env, server, requests, [float(time) for time in times]))


def _send(env: simpy.Environment, server: Server, queue: deque[Request], thinks_late: bool) -> None:
    """A user sends the next request, and again when it is answered, while there are any."""
    if not queue:
        return
    request = queue.popleft()
    request.due_s = env.now if thinks_late else 0.0
    request.done = partial(_send, env, server, queue, thinks_late)
    server.submit(request)


def _begin_sessions(env: simpy.Environment, server: Server, requests: Sequence[Request], turns: Turns) -> None:
    """The first turn of each session comes at its time, each other one its think time after the answer before it."""
    for request, after in zip(requests, turns.after.tolist(), strict=True):
        if after != FIRST:
            request.done = partial(_send_later, env, server, requests[after], turns.wait_s[after])
    for request, before, wait_s in zip(requests, turns.before, turns.wait_s, strict=True):
        if before == FIRST:
            _send_later(env, server, request, wait_s)


def _send_later(env: simpy.Environment, server: Server, request: Request, wait_s: float) -> None:
    def send(_event: simpy.Event) -> None:
        request.due_s = env.now
        server.submit(request)

    timer = env.timeout(wait_s)
    assert timer.callbacks is not None
    timer.callbacks.append(send)


def _when_begun(env: simpy.Environment, action: Callable[[], None]) -> None:
    """Calls `action` once the server has looked at its empty queue."""
    begun = env.event()
    assert begun.callbacks is not None
    begun.callbacks.append(lambda _event: action())
    begun.succeed()


def _stream(env: simpy.Environment, server: Server, requests: Sequence[Request], times: list[float]) -> Process:
    for request, time in zip(requests, times, strict=True):
        yield env.timeout(time - env.now)
        request.due_s = env.now
        server.submit(request)
