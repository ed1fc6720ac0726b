"""A step through pipeline stages: each stage works off the parts of the step in order, as soon as they arrive (SimPy).

Decoding goes round: a part's next step begins when its tokens have left the last stage. What a step takes is then the
time from one round to the next, once the rounds repeat.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import simpy

_ROUNDS = 3
"""Rounds of decoding after the pipeline has been filled."""


def stages_time(parts_s: Sequence[float], stages: int, decoding: bool) -> float:
    """Seconds of a step whose parts take `parts_s` on each of `stages` stages."""
    env = simpy.Environment()
    queues = [simpy.Resource(env) for _ in range(stages)]
    rounds = stages + _ROUNDS if decoding else 1
    left: list[list[float]] = [[] for _ in parts_s]
    for number, seconds in enumerate(parts_s):
        env.process(_part(env, queues, seconds, rounds, left[number]))
    env.run()
    last = [max(times[turn] for times in left) for turn in range(rounds)]
    return last[-1] - last[-2] if decoding else last[-1]


def _part(
    env: simpy.Environment, queues: list[simpy.Resource], seconds: float, rounds: int, left: list[float]
) -> Generator[simpy.Event, Any, None]:
    for _ in range(rounds):
        for queue in queues:
            with queue.request() as turn:
                yield turn
                yield env.timeout(seconds)
        left.append(env.now)
