"""Instances that fail and others that start: a router that follows which of them are up.

A request that an instance has not answered when it fails is sent anew, from its beginning, to one that is up; its
client has waited since it was first sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.mapping.deployment import Deployment
from npusim.serving.instances.clients import Clients, clients_of
from npusim.serving.instances.clock import run_together
from npusim.serving.instances.instance import Instance
from npusim.serving.instances.routing import Balancer, Router
from npusim.serving.instances.simulate import finished, instances_of
from npusim.serving.load import Load
from npusim.serving.served import column_of
from npusim.serving.simulate import ServedRun

_COLUMNS = ("index", "osl", "sent_s", "first_token_s", "last_token_s")


@dataclass(frozen=True)
class Shifts:
    """Of each instance, float64 (instances,): from when and until when requests are sent to it; it fails at
    `until_s`, infinite where it does not."""

    from_s: np.ndarray
    until_s: np.ndarray

    def changes_s(self) -> list[float]:
        """The times after 0 at which an instance comes or goes, rising."""
        times = np.concatenate([self.from_s, self.until_s])
        return sorted(set(times[(times > 0.0) & np.isfinite(times)].tolist()))

    def up(self, now_s: float) -> np.ndarray:
        """Which instances are up, bool (instances,)."""
        return np.asarray((self.from_s <= now_s) & (now_s < self.until_s))


class ShiftingRouter(Router):
    """A Router that sends requests to instances that are up alone. places: to which instance each request was sent at
    last; resent: those that were sent anew, and when they were sent at first."""

    def __init__(self, clients: Clients, balancer: Balancer[Instance], shifts: Shifts) -> None:
        super().__init__(clients, balancer)
        self._shifts, self._changes = shifts, shifts.changes_s()
        self._open: set[int] = set()
        self.places: dict[int, int] = {}
        self._sent_s: dict[int, float] = {}
        self.resent: dict[int, float] = {}
        balancer.up = shifts.up(0.0)

    @property
    def next_s(self) -> float:
        return min(super().next_s, self._changes[0] if self._changes else math.inf)

    def hear(self, instance: int, ended: Sequence[int], now_s: float) -> bool:
        if not self._balancer.up[instance]:
            return False
        self._open.difference_update(ended)
        return super().hear(instance, ended, now_s)

    def send(self, now_s: float) -> Iterator[int]:
        while self._changes and self._changes[0] <= now_s:
            yield from self._change(self._changes.pop(0), now_s)
        for index, due_s in self._clients.due(now_s):
            self._sent_s[index] = now_s
            yield self._route(index, due_s, now_s)

    def _change(self, at_s: float, now_s: float) -> Iterator[int]:
        """Instances come and go; what those that go have not answered is sent anew."""
        self._balancer.up = self._shifts.up(at_s)
        for index in sorted(each for each in self._open if not self._balancer.up[self.places[each]]):
            self._balancer.ended(self.places[index], 1)
            self.resent[index] = self._sent_s[index]
            yield self._route(index, now_s, now_s)

    def _route(self, index: int, due_s: float, now_s: float) -> int:
        self._open.add(index)
        place = self.places[index] = self._balancer.choose(index)
        self._balancer.instances[place].send(index, due_s, now_s)
        return place


def simulate_shifts(
    deployments: Sequence[Deployment], load: Load, seed: int, policy: str, shifts: Shifts
) -> tuple[dict[str, np.ndarray], bool]:
    """A column for each of index, osl, sent_s, first_token_s and last_token_s of all requests, as their clients saw
    them, float64 (requests,); and whether any was refused. Some instance is up at any time.

    The same seed gives the same run. Raises DoesNotFit, UserError.
    """
    instances, loads = instances_of(deployments, load, seed)
    router = ShiftingRouter(
        clients_of(load.arrival, len(load.prompts), seed), Balancer(instances, loads, policy), shifts
    )
    run_together(instances, router)
    parts = [_answered(run, place, router) for place, run in enumerate(finished(instances).each)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
    whole = zip(found["index"].tolist(), found["sent_s"].tolist(), strict=True)
    found["sent_s"] = np.array([router.resent.get(index, sent_s) for index, sent_s in whole])
    return found, len(found["index"]) < len(load.prompts)


def _answered(run: ServedRun, place: int, router: ShiftingRouter) -> dict[str, np.ndarray]:
    """The columns of the requests that the instance at that place has answered, but for those that were sent anew."""
    requests = run.record.requests
    here = np.array([router.places[index] == place for index in column_of(requests, "index").tolist()], bool)
    return {name: column_of(requests, name)[here] for name in _COLUMNS}
