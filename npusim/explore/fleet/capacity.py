"""The largest rate of requests at which one instance keeps the objectives, and what its latencies are at other rates.

The rate is bracketed by doubling, then halved geometrically between the last two. Every rate that was tried stays as a
point of the curves from which the same instance with other numbers is judged (`response`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.speculation import analytic_engine
from npusim.explore.fleet.group import ALONE, RoutedGroup, per_instance
from npusim.explore.fleet.requests import burst_load, mean_lengths, timed_load
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.planning import best_loop
from npusim.serving.request import Request
from npusim.serving.served import column_of
from npusim.serving.simulate import ServedRun, simulate
from npusim.serving.slo import Slo
from npusim.units import MS_PER_S
from npusim.words import Phrase
from npusim.workload.arrivals import Timed
from npusim.workload.profile import Profile

REQUESTS = 800
"""Least requests of an instance in a window: eight lie beyond the 99th percentile."""
_OF_GROUP = 4
"""Least requests of a group over those of one instance alone."""
MOST_REQUESTS = 40_000
"""Most requests of a window."""
_ANSWERS = 12.0
"""Least length of a window, in answers of one user alone."""
_WARM_UP = 0.25
"""Part of a window at its beginning whose latencies do not count: queues and caches fill."""
_ALONE = 48
"""Requests, one after the other, that tell what one user alone gets."""
_FINE, COARSE = 0.03, 0.15
"""Part of itself to which a rate is found."""
_MOST_DOUBLINGS = 24
MOST_STEPS = 7
"""Most steps to either side of a rate that is near."""
_SHAPE = (0.125, 0.25, 0.5, 0.75, 1.12, 1.3, 1.6, 2.2)
"""Further points of the curves, as parts of the rate that was found."""
_GROWS = 1.25
"""Requests in flight at the end of a window over those at its middle, beyond which a queue grows without end."""
_SIGMAS = 3.0
"""Standard deviations of a Poisson number by which they differ by chance."""


@dataclass(frozen=True)
class RatePoint:
    """One instance under requests at `rate_per_s`. metrics: of the run, of a group per instance; steady: whether it
    keeps up and serves every request; kept: whether it keeps the objectives too; watts: of its cards while requests
    come, with the time in which it waits for them."""

    rate_per_s: float
    metrics: RunMetrics
    steady: bool
    kept: bool
    watts: float

    @property
    def in_flight(self) -> float:
        """Mean requests in flight (Little 1961)."""
        return self.rate_per_s * self.metrics["e2e_ms_mean"] / MS_PER_S


@dataclass(frozen=True)
class Capacity:
    """rate_per_s: the largest rate at which the objectives are kept, 0 where one user alone breaks them; points: of one
    instance by their rates; alone: what one user alone gets; reason: why the rate is 0; routed: the run at the rate
    behind a router, None where the rate is that of an instance alone."""

    rate_per_s: float
    points: tuple[RatePoint, ...]
    alone: RatePoint
    reason: Phrase | None = None
    routed: RatePoint | None = None

    @property
    def at_rate(self) -> RatePoint:
        """The run at the rate that was found, at which users alone are where it is 0."""
        if self.routed is not None:
            return self.routed
        return next((each for each in self.points if each.rate_per_s == self.rate_per_s), self.alone)


@dataclass(frozen=True)
class Window:
    """For how long requests of a profile come. seed: of the requests, the same at all rates; least_s: whatever the rate
    of requests is; requests: least ones of an instance."""

    profile: Profile
    seed: int
    least_s: float
    requests: float

    def load_at(self, rate_per_s: float, servers: int = 1, place: int = 0, seen: float = 1.0) -> Load:
        """The requests of `servers` instances together, each at that rate; of several such groups, by their place.

        seen: part of the requests of each session that comes to these.
        """
        window_s = max(self.requests / rate_per_s, self.floor_s)
        window_s = min(window_s, MOST_REQUESTS / rate_per_s) / (1.0 - _WARM_UP)
        warm_up_s = _WARM_UP * window_s
        return timed_load(self.profile, rate_per_s * servers, window_s, self.seed + place, warm_up_s, seen)

    @property
    def floor_s(self) -> float:
        """No window is shorter: some answers and a session have room in it."""
        traffic = self.profile.traffic
        return max(self.least_s, 0.0 if traffic is None else traffic.turns.value * traffic.turn_gap.value)


@dataclass
class Trials:
    """Runs of one instance, or of a group of them, by the rate of requests of each. alone: what one user alone gets."""

    deployment: Deployment
    profile: Profile
    slo: Slo
    seed: int
    engine: AnalyticEngine
    group: RoutedGroup
    points: dict[float, RatePoint] = field(default_factory=dict)

    @cached_property
    def alone(self) -> RatePoint:
        """One user alone, who asks again as soon as an answer is there."""
        load = burst_load(self.profile, _ALONE, 1, self.seed)
        metrics = measure(simulate(self.deployment, load, self.seed, self.engine), Shown.COMPARED)
        rate = MS_PER_S / metrics["e2e_ms_mean"]
        return RatePoint(rate, metrics, metrics.fits, self.slo.kept(metrics), metrics["steady_power_w_mean"])

    @property
    def window(self) -> Window:
        """As many answers long as tell of a steady state."""
        least_s = _ANSWERS * self.alone.metrics["e2e_ms_mean"] / MS_PER_S
        requests = REQUESTS if self.group.size == 1 else REQUESTS * _OF_GROUP / self.group.size
        return Window(self.profile, self.seed, least_s, requests)

    def full_rate(self) -> float:
        """Requests a second by a closed form of a loop of as many users as the instance holds, near which to begin."""
        isl, osl = mean_lengths(self.profile)
        most = int(self.deployment.runtime_record[0]["limits_max_sequences"]) * self.deployment.plan.data_parallel
        return best_loop(self.deployment, isl, osl, most)[1].output_tokens_per_s / osl

    def at(self, rate_per_s: float) -> RatePoint:
        """The run at that rate, made once."""
        if rate_per_s not in self.points:
            load = self.window.load_at(rate_per_s, self.group.size, seen=self.group.seen)
            served = self.group.run(self.deployment, load, self.seed, self.engine)
            self.points[rate_per_s] = judged(rate_per_s, served, load, self.slo, self.group.size)
        return self.points[rate_per_s]


def trials_of(deployment: Deployment, profile: Profile, slo: Slo, seed: int, group: RoutedGroup = ALONE) -> Trials:
    """Runs of one replica of a deployment, or of a group. Raises DoesNotFit where the longest request has no room."""
    deployment.require_fit(profile.longest)
    return Trials(deployment, profile, slo, seed, analytic_engine(deployment), group)


def judged(rate_per_s: float, served: ServedRun, load: Load, slo: Slo, size: int = 1) -> RatePoint:
    """What a run at a rate tells. size: instances that it is the run of."""
    metrics = measure(served, Shown.COMPARED)
    assert isinstance(load.arrival, Timed)
    last_s = load.arrival.sent_s[-1]
    steady = metrics.fits and not queue_grows(served.record.requests, last_s)
    waits = min(max(metrics["duration_s"] - metrics.busy_s, 0.0) / last_s, 1.0) if last_s > 0.0 else 0.0
    watts = metrics["steady_power_w_mean"] * (1.0 - waits) + served.idle_w * waits
    kept = steady and slo.kept(metrics)
    return RatePoint(rate_per_s, per_instance(metrics, size), steady, kept, watts / size)


def queue_grows(requests: Sequence[Request], last_s: float) -> bool:
    """Whether more requests are in flight when the last one comes than at the middle, beyond chance."""
    sent_s, ended_s = (column_of(requests, name) for name in ("sent_s", "last_token_s"))
    middle, end = (int(((sent_s <= at) & (ended_s > at)).sum()) for at in (0.5 * last_s, last_s))
    return end > _GROWS * middle and end - middle > _SIGMAS * math.sqrt(end + middle)


def find_capacity(trials: Trials, fine: float = _FINE, curves: bool = True) -> Capacity:
    """The largest rate at which one instance keeps the objectives, to a part `fine` of itself.

    curves: with further points about it.
    """
    alone = trials.alone
    if not alone.kept:
        return Capacity(0.0, (), alone, _broken(alone.metrics, trials.slo))
    low = _largest(lambda rate: trials.at(rate).kept, max(alone.rate_per_s, trials.full_rate() / 2.0), fine)
    if low == 0.0:
        reason = Phrase("the objectives are kept by a user alone, but at no rate of random arrivals")
        return Capacity(0.0, (), alone, reason)
    for part in _SHAPE if curves else ():
        if not trials.at(low * part).steady:
            break
    return Capacity(low, tuple(trials.points[rate] for rate in sorted(trials.points)), alone)


def _largest(keeps: Callable[[float], bool], start: float, fine: float) -> float:
    """The largest rate that keeps, to a part `fine`; 0 where none within `_MOST_DOUBLINGS` halvings of `start` does."""
    low = start
    for _ in range(_MOST_DOUBLINGS):
        if keeps(low):
            break
        low /= 2.0
    else:
        return 0.0
    high = 2.0 * low
    while keeps(high):
        low, high = high, 2.0 * high
    while high / low > 1.0 + fine:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def largest_near(keeps: Callable[[float], bool], start: float, step: float, fine: float) -> float:
    """The largest rate that keeps, sought about `start` in factors of `step`, each the square of the one before, then
    to a part `fine` of itself; 0 where none within `MOST_STEPS` of them does."""
    low, kept = start, keeps(start)
    for _ in range(MOST_STEPS):
        other = low * step if kept else low / step
        if keeps(other) != kept:
            low, high = (low, other) if kept else (other, low)
            break
        low, step = other, step**2
    else:
        return low if kept else 0.0
    while high / low > 1.0 + fine:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def _broken(metrics: RunMetrics, slo: Slo) -> Phrase:
    """Why one user alone breaks the objectives: the first limit that is broken."""
    if not metrics.fits:
        return refused(metrics)
    name, limit = next((name, limit) for name, limit in slo.limits if not metrics[name] <= limit)
    told = {"name": name, "value": f"{metrics[name]:,.4g}", "limit": f"{limit:,.4g}"}
    return Phrase("{name} of one user alone is {value} ms, the limit {limit} ms", told)


def refused(metrics: RunMetrics) -> Phrase:
    """Why requests are refused."""
    return Phrase("requests are refused: {refusal}", {"refusal": metrics.refusal})


def without_replicas(deployment: Deployment) -> Deployment:
    """One replica of a deployment as an instance of its own, unless replicas share experts."""
    plan = deployment.plan
    if plan.data_parallel == 1 or plan.expert_parallel > 1:
        return deployment
    return deployment.under(replace(plan, cards=-(-plan.cards // plan.data_parallel), data_parallel=1))
