"""Routing: to which of several instances a request is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from npusim.serving.instances.clients import Clients
from npusim.serving.instances.instance import Instance


class Router:
    """Sends the requests of `clients` to `instances`, each to the one that `policy` chooses; a `clock.Sender`.

    loads: what instances tell of themselves, a row each: `waiting` requests, and `pending` prompt tokens of requests
    that have no token yet; in_flight: requests that were sent to each and not answered, int64 (instances,); routed:
    sent so far.
    """

    def __init__(self, clients: Clients, instances: Sequence[Instance], loads: np.ndarray, policy: str) -> None:
        self.instances, self.loads, self.reacts = instances, loads, clients.waits
        self.in_flight, self.routed = np.zeros(len(instances), np.int64), 0
        self._clients, self._choose = clients, ROUTING[policy]

    @property
    def next_s(self) -> float:
        return self._clients.next_s

    def hear(self, instance: int, ended: Sequence[int], now_s: float) -> None:
        self.in_flight[instance] -= len(ended)
        for index in ended:
            self._clients.answered(index, now_s)

    def send(self, now_s: float) -> Iterator[int]:
        for index, due_s in self._clients.due(now_s):
            place = self._choose(self, index)
            self.instances[place].send(index, due_s, now_s)
            self.in_flight[place] += 1
            self.routed += 1
            yield place


def round_robin(router: Router, index: int) -> int:
    """Instances take turns."""
    return router.routed % len(router.instances)


def least_loaded(router: Router, index: int) -> int:
    """The instance with the fewest prompt tokens still to be computed, then with the fewest requests in flight.

    A request waits for the prompts before it, and then shares steps with those in flight (so vLLM's balancer counts a
    waiting request several times a running one); of equal instances, the one whose turn it is the soonest.
    """
    pending = router.loads["pending"]
    return _least_in_flight(router, pending == pending.min())


def prefix_aware(router: Router, index: int) -> int:
    """The instance that has most of the prompt cached, among those that have no queue; else the least loaded one.

    A queue is where a hit no longer pays: cache-aware routers give it up when loads are out of balance (Zheng et al.,
    SGLang, arXiv 2312.07104; Srivatsa et al., Preble, arXiv 2407.00023).
    """
    cached = np.array([each.cached_tokens(index) for each in router.instances])
    cached[router.loads["waiting"] > 0] = 0
    return _least_in_flight(router, cached == cached.max()) if cached.any() else least_loaded(router, index)


def _least_in_flight(router: Router, among: np.ndarray) -> int:
    """Of some instances (bool, one each) that with the fewest requests; of equals the one whose turn is the soonest."""
    chosen = among & (router.in_flight == router.in_flight[among].min())
    turn = router.routed % len(chosen)
    ahead = int(chosen[turn:].argmax())
    return turn + ahead if chosen[turn + ahead] else int(chosen.argmax())


ROUTING: dict[str, Callable[[Router, int], int]] = {
    "round_robin": round_robin,
    "least_loaded": least_loaded,
    "prefix_aware": prefix_aware,
}
"""Policies by name: from what the router knows and the request that it sends, the place of an instance."""
