"""Routing: to which of several instances a request is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from npusim.serving.instances.clients import Clients
from npusim.serving.instances.instance import Instance

_I = TypeVar("_I", bound=Instance)


class Balancer(Generic[_I]):
    """Chooses among `instances` by the policy of that name.

    loads: what instances tell of themselves, a row each: `waiting` requests, and `pending` prompt tokens of requests
    that have no token yet; in_flight: requests that were sent to each and not answered, int64 (instances,); routed:
    chosen for so far; up: which instances requests are sent to, bool (instances,), all of them at first.
    """

    def __init__(self, instances: Sequence[_I], loads: np.ndarray, policy: str) -> None:
        self.instances, self.loads, self._choose = instances, loads, ROUTING[policy]
        self.in_flight, self.routed = np.zeros(len(instances), np.int64), 0
        self.up = np.ones(len(instances), bool)

    def choose(self, index: int) -> int:
        """The place of the instance to which request `index` is sent."""
        place = self._choose(self, index)
        self.in_flight[place] += 1
        self.routed += 1
        return place

    def ended(self, place: int, count: int) -> None:
        """So many requests of an instance were answered or refused."""
        self.in_flight[place] -= count


class Router:
    """Sends the requests of `clients` to the instances of `balancer`; a `clock.Sender`."""

    def __init__(self, clients: Clients, balancer: Balancer[Instance]) -> None:
        self._clients, self._balancer, self.reacts = clients, balancer, clients.waits

    @property
    def next_s(self) -> float:
        return self._clients.next_s

    def hear(self, instance: int, ended: Sequence[int], now_s: float) -> bool:
        self._balancer.ended(instance, len(ended))
        for index in ended:
            self._clients.answered(index, now_s)
        return bool(ended)

    def send(self, now_s: float) -> Iterator[int]:
        for index, due_s in self._clients.due(now_s):
            place = self._balancer.choose(index)
            self._balancer.instances[place].send(index, due_s, now_s)
            yield place


def round_robin(balancer: Balancer[Any], index: int) -> int:
    """Instances take turns."""
    up = np.flatnonzero(balancer.up)
    return int(up[balancer.routed % len(up)])


def least_loaded(balancer: Balancer[Any], index: int) -> int:
    """The instance with the fewest prompt tokens still to be computed, then with the fewest requests in flight.

    A request waits for the prompts before it, and then shares steps with those in flight (so vLLM's balancer counts a
    waiting request several times a running one); of equal instances, the one whose turn it is the soonest.
    """
    pending = balancer.loads["pending"]
    return _least_in_flight(balancer, balancer.up & (pending == pending[balancer.up].min()))


def prefix_aware(balancer: Balancer[Any], index: int) -> int:
    """The instance that has most of the prompt cached, among those that have no queue; else the least loaded one.

    A queue is where a hit no longer pays: cache-aware routers give it up when loads are out of balance (Zheng et al.,
    SGLang, arXiv 2312.07104; Srivatsa et al., Preble, arXiv 2407.00023).
    """
    cached = np.array([each.cached_tokens(index) for each in balancer.instances])
    cached[(balancer.loads["waiting"] > 0) | ~balancer.up] = 0
    return _least_in_flight(balancer, cached == cached.max()) if cached.any() else least_loaded(balancer, index)


def _least_in_flight(balancer: Balancer[Any], among: np.ndarray) -> int:
    """Of some instances (bool, one each) that with the fewest requests; of equals the one whose turn is the soonest."""
    chosen = among & (balancer.in_flight == balancer.in_flight[among].min())
    turn = balancer.routed % len(chosen)
    ahead = int(chosen[turn:].argmax())
    return turn + ahead if chosen[turn + ahead] else int(chosen.argmax())


ROUTING: dict[str, Callable[[Balancer[Any], int], int]] = {
    "round_robin": round_robin,
    "least_loaded": least_loaded,
    "prefix_aware": prefix_aware,
}
"""Policies by name: from what is known of instances and the request that is sent, the place of an instance."""
SEES_PREFIXES = frozenset({"prefix_aware"})
"""Policies that look for the instance that has a prompt's prefix."""
