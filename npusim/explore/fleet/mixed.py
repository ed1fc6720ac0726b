"""Prefill and decode apart, on two kinds of chip or one: how many servers of each a service needs.

A unit is some prefill and some decode instances behind one router, simulated together with the links over which KV goes
between them (`serving.instances.disaggregated`). Its rate is sought with prompts computed at half of what prefill
instances bear, so that decoding binds; then as few of them are taken as keep the objectives at that rate (Zhong et al.,
DistServe, arXiv 2401.09670, size both phases so). A fleet has as many units as its peak needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from npusim.answers.pools import Pool, Transfer, network_between
from npusim.errors import UserError
from npusim.explore.fleet.capacity import REQUESTS, RatePoint, Window, judged, largest_near
from npusim.explore.fleet.requests import mean_lengths
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.serving.instances.disaggregated import PoolsRun, require_one_kind_of_kv, simulate_pools
from npusim.serving.instances.rates import answers_per_s, prompts_per_s
from npusim.serving.instances.simulate import InstancesRun
from npusim.serving.metrics import measure
from npusim.serving.slo import Slo
from npusim.workload.profile import Profile

JOINS = "+"
"""Between the architecture that computes prompts and the one that decodes."""
_HALF = 0.5
"""Part of what prefill instances bear, at which their queues are short."""
_ANSWERS = 12.0
"""Least length of a window, in answers at half of the rate of a full instance."""
_LEAST, _MOST = 2, 16
"""Decode instances of a unit."""
_STEP, _FINE = 1.15, 0.03
"""Factor between rates until one breaks the objectives, and part of itself to which the rate is found."""


@dataclass(frozen=True)
class PoolsUnit:
    """prefill, decode: instances of each; rate_per_s: requests of all together; point: the run at that rate; watts:
    of the cards of a prefill and of a decode instance at that rate; kv_bytes: that go over a link for a request;
    link: its name."""

    prefill: int
    decode: int
    rate_per_s: float
    point: RatePoint
    watts: tuple[float, float]
    kv_bytes: float
    link: str


@dataclass
class Units:
    """Runs of units of two deployments under the requests of a profile. network: link by name, None for that which
    joins the servers."""

    prefill: Deployment
    decode: Deployment
    profile: Profile
    slo: Slo
    seed: int
    routing: str
    network: str | None

    @cached_property
    def _lengths(self) -> tuple[int, int]:
        isl, osl = mean_lengths(self.profile)
        return isl, max(2, osl)

    @cached_property
    def _prompt_s(self) -> float:
        """Seconds of a prefill instance for a prompt while it has a queue."""
        return 1.0 / prompts_per_s([self.prefill], self._lengths[0])

    @cached_property
    def _answers(self) -> float:
        """Answers a second of a decode instance that is full."""
        most = int(self.decode.runtime_record[0]["limits_max_sequences"])
        return answers_per_s([self.decode], *self._lengths, most)

    @cached_property
    def decoding(self) -> int:
        """Decode instances of a unit: enough to keep a prefill instance or two busy."""
        return min(_MOST, max(_LEAST, math.ceil(1.0 / (_HALF * self._answers * self._prompt_s))))

    def run(self, prefill: int, rate_per_s: float) -> tuple[RatePoint, PoolsRun]:
        """A unit of so many prefill instances under so many requests/s. Raises UserError, DoesNotFit."""
        load = self._window.load_at(rate_per_s / self.decoding, self.decoding)
        pools = Pool(self.prefill, prefill), Pool(self.decode, self.decoding)
        wire = Transfer(self._link, False).wire(*pools)
        run = simulate_pools(pools[0].instances, pools[1].instances, load, self.seed, wire, self.routing)
        return judged(rate_per_s, run.whole, load, self.slo), run

    @cached_property
    def _link(self) -> Any:
        return network_between(self.prefill, self.decode, self.network)

    @cached_property
    def _window(self) -> Window:
        answer_s = _ANSWERS / (_HALF * self._answers)
        return Window(self.profile, self.seed, answer_s, REQUESTS / self.decoding * _LEAST)

    def most_prefill(self, rate_per_s: float) -> int:
        """Prefill instances that are half busy with the prompts of a unit."""
        return max(1, math.ceil(rate_per_s * self._prompt_s / _HALF))

    def best(self) -> PoolsUnit | None:
        """The unit with the largest rate that keeps the objectives; None where none does. Raises UserError for servers
        that no link joins, or whose keys and values are of different formats."""
        require_one_kind_of_kv([self.prefill, self.decode])
        network_between(self.prefill, self.decode, self.network)
        start = _HALF * self._answers * self.decoding
        rate = largest_near(lambda rate: self.run(self.most_prefill(rate), rate)[0].kept, start, _STEP, _FINE)
        if rate == 0.0:
            return None
        least = max(1, math.ceil(rate * self._prompt_s))
        for prefill in range(least, self.most_prefill(rate) + 1):
            point, run = self.run(prefill, rate)
            if point.kept:
                return self._told(prefill, point, run)
        return None

    def _told(self, prefill: int, point: RatePoint, run: PoolsRun) -> PoolsUnit:
        watts = _watts(run.prefill) / prefill, _watts(run.decode) / self.decoding
        kv_bytes = float(np.mean(run.moved.kv_bytes)) if run.moved.kv_bytes else 0.0
        return PoolsUnit(prefill, self.decoding, point.rate_per_s, point, watts, kv_bytes, self._link.name)


def _watts(run: InstancesRun) -> float:
    return float(measure(run.whole, Shown.COMPARED)["steady_power_w_mean"])


def parts_of(arch: str) -> list[str]:
    """The architectures of PREFILL+DECODE, or the one that it is. Raises UserError for more than two."""
    parts = [each.strip() for each in arch.split(JOINS)]
    if len(parts) > 2 or not all(parts):
        raise UserError("ARCH", arch, "tell PREFILL+DECODE, the two architectures that work together")
    return parts
