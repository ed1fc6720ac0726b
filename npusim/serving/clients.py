"""Clients: who sends the requests, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

import simpy

from npusim.serving.request import Request
from npusim.serving.server import Process, Server
from npusim.workload.arrivals import Arrival, Burst, Closed, poisson_times


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
    else:
        times = poisson_times(len(requests), arrival.rate_per_s, seed)
        env.process(_stream(env, server, requests, [float(time) for time in times]))


def _send(env: simpy.Environment, server: Server, queue: deque[Request], thinks_late: bool) -> None:
    """A user sends the next request, and again when it is answered, while there are any."""
    if not queue:
        return
    request = queue.popleft()
    request.due_s = env.now if thinks_late else 0.0
    request.done = partial(_send, env, server, queue, thinks_late)
    server.submit(request)


def _stream(env: simpy.Environment, server: Server, requests: Sequence[Request], times: list[float]) -> Process:
    for request, time in zip(requests, times, strict=True):
        yield env.timeout(time - env.now)
        request.due_s = env.now
        server.submit(request)
