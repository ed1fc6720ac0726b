"""Requests a second that each part of a disaggregated service can bear alone: the least of them binds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from npusim.mapping.deployment import Deployment
from npusim.serving.instances.transfer import Wire
from npusim.serving.load import random_load
from npusim.serving.planning import best_loop
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Burst

_PROMPTS = 64
"""Prompts of the burst that tells how many a server computes a second, one after the other or together."""


def prompts_per_s(pool: Sequence[Deployment], isl: int) -> float:
    """Prompts of `isl` tokens that instances compute a second while they have a queue."""

    def rate(deployment: Deployment) -> float:
        return _PROMPTS / simulate(deployment, random_load(isl, 1, Burst(_PROMPTS), _PROMPTS), 0).duration_s

    return _sum(rate, pool)


def answers_per_s(pool: Sequence[Deployment], isl: int, osl: int, users: int) -> float:
    """Answers whose prompts are there that instances decode a second, with as many of `users` as memory and runtime
    hold: a closed form over decode steps in the middle of answers, of which the first token is there."""

    def rate(deployment: Deployment) -> float:
        _, loop = best_loop(deployment, isl, osl, -(-users // len(pool)), cached=True)
        return loop.output_tokens_per_s / (osl - 1)

    return _sum(rate, pool)


def transfers_per_s(wire: Wire, kv_bytes: float, sources: int, targets: int) -> float:
    """Prompts whose KV links carry a second."""
    return min(sources, targets) * wire.rate_bytes_per_s / kv_bytes


def _sum(rate: Callable[[Deployment], float], pool: Sequence[Deployment]) -> float:
    """Over all instances; those of one deployment are alike."""
    counted = Counter(map(id, pool))
    return sum(rate(each) * counted[number] for number, each in {id(each): each for each in pool}.items())
