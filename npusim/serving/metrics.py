"""The figures of a serving run, each computed by the function of its name: whoever asks for one asks here.

A row of `npusim/metrics.py` has a function of its own name, or of its quantity (`ttft_ms`), which gives the sample of
which the row is the mean or a percentile. Figures that are one over another follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from npusim.metric_names import metric
from npusim.metric_row import Metric, Shown
from npusim.metrics import shown
from npusim.serving.served import column_of
from npusim.serving.simulate import CacheUse, ServedRun

_PER_SECOND = {"ms": 1e3}
"""A sample is in seconds where it is one of times: what they are worth in the row's unit."""
_MEAN = "mean"
_PERCENT = 100.0
"""Percent of a whole."""
_P99 = (99.0,)
"""The percentile of power that is reported."""


@dataclass(frozen=True)
class RunMetrics:
    """What one run scored.

    figures: by the names of METRICS, in their units; rates per second of simulated time; NaN where no request was
    served. refusal: why the first request that was refused was; "" where none was. breakdown_j: joules of all chips by
    component. busy_s: seconds in which the server had work; last_due_s: when the last request was due; tier_hits: part
    of the prompt tokens that was loaded from each lower tier of the prefix cache.
    """

    figures: Mapping[str, float]
    refusal: str
    breakdown_j: Mapping[str, float] = field(default_factory=dict)
    busy_s: float = 0.0
    last_due_s: float = 0.0
    tier_hits: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    @property
    def fits(self) -> bool:
        """True where every request was served."""
        return self["refused"] == 0 and self["requests"] > 0


def measure(run: ServedRun, least: Shown = Shown.RUN) -> RunMetrics:
    """The figures of a run. least: of which figures (COMPARED: all)."""
    seen, refused = _Seen(run, least), run.record.refused
    figures = {row.name: _value(row, seen) for row in shown(least)}
    last_due_s = float(column_of(seen.served, "due_s").max(initial=0.0))
    refusal = refused[0].refusal if refused else ""
    busy_s = float(seen.span_s.sum())
    return RunMetrics(figures, refusal, run.breakdown_j, busy_s, last_due_s, _tier_hits(run.kv))


def _tier_hits(kv: CacheUse) -> dict[str, float]:
    asked = max(1, kv.asked_tokens)
    return {tier.name: hits / asked for tier, hits in zip(kv.tiers, kv.tier_hit_tokens, strict=True)}


@dataclass(frozen=True)
class Sample:
    """What a quantity was, request by request or token by token. weight: how often each was; None for once."""

    values: np.ndarray
    weight: np.ndarray | None = None

    def statistics(self, names: tuple[str, ...]) -> dict[str, float]:
        """Means and percentiles (p99); percentiles of weighted samples are values of theirs, of others between."""
        if not len(self.values):
            return dict.fromkeys(names, float("nan"))
        parts = tuple(float(name[1:]) for name in names if name != _MEAN)
        if self.weight is None:
            mean, points = self.values.mean(), np.percentile(self.values, parts)
        else:
            mean = (self.values * self.weight).sum() / self.weight.sum()
            points = weighted_percentiles(self.values, self.weight, parts)
        found = zip((name for name in names if name != _MEAN), (float(value) for value in points), strict=True)
        return {_MEAN: float(mean), **dict(found)}


class _Seen:
    """A run as its figures see it. served: all requests; told: those whose latencies count; least: of which figures."""

    def __init__(self, run: ServedRun, least: Shown) -> None:
        self.run, self.record, self.served = run, run.record, run.record.requests
        self._told = column_of(self.served, "index") >= run.warm_up
        self._least, self._statistics = least, dict[str, dict[str, float]]()

    def statistic(self, quantity: str, name: str) -> float:
        """A mean or percentile of the sample of a quantity, which is drawn up once."""
        if quantity not in self._statistics:
            sample: Sample = _FUNCTIONS[quantity](self)
            self._statistics[quantity] = sample.statistics(_statistics(self._least)[quantity])
        return self._statistics[quantity][name]

    def told(self, name: str) -> np.ndarray:
        """An attribute of each request whose latencies count."""
        return column_of(self.served, name)[self._told]

    @cached_property
    def span_s(self) -> np.ndarray:
        return self.record.span_s

    @cached_property
    def span_j(self) -> np.ndarray:
        return self.record.span_j

    @cached_property
    def tokens_out(self) -> float:
        return float(column_of(self.served, "osl").sum()) * self.run.replicas

    @cached_property
    def tokens_in(self) -> float:
        return float(column_of(self.served, "isl").sum()) * self.run.replicas

    @cached_property
    def seconds(self) -> float:
        return self.run.duration_s if self.served else np.nan

    @cached_property
    def waited_s(self) -> float:
        """Seconds in which the server waited at idle power."""
        return max(0.0, self.run.duration_s - float(self.span_s.sum()))

    @cached_property
    def energy_j(self) -> float:
        if not len(self.span_s) or self.run.duration_s <= 0.0:
            return np.nan
        return float(self.span_j.sum()) + self.waited_s * self.run.idle_w

    @cached_property
    def sending_s(self) -> float:
        """Seconds until the last request was sent: after it users leave, and fewer are in service."""
        return float(column_of(self.served, "sent_s").max()) or float(np.cumsum(self.span_s)[-1])


_FUNCTIONS: dict[str, Callable[[_Seen], Any]] = {}


def _figure(function: Callable[[_Seen], Any]) -> Callable[[_Seen], Any]:
    """Takes a function as that of the row, or quantity, of its name."""
    _FUNCTIONS[function.__name__] = function
    return function


@_figure
def ttft_ms(seen: _Seen) -> Sample:
    return Sample(seen.told("first_token_s") - seen.told("sent_s"))


@_figure
def tpot_ms(seen: _Seen) -> Sample:
    several = seen.told("osl") > 1
    seconds, further = seen.told("last_token_s") - seen.told("first_token_s"), seen.told("osl") - 1
    return Sample(seconds[several] / further[several])


@_figure
def itl_ms(seen: _Seen) -> Sample:
    return Sample(seen.record.interval_s, seen.record.interval_weight)


@_figure
def e2e_ms(seen: _Seen) -> Sample:
    return Sample(seen.told("last_token_s") - seen.told("sent_s"))


@_figure
def client_queue_ms(seen: _Seen) -> Sample:
    return Sample(seen.told("sent_s") - seen.told("due_s"))


@_figure
def output_tokens_per_s(seen: _Seen) -> float:
    return seen.tokens_out / seen.seconds


@_figure
def total_tokens_per_s(seen: _Seen) -> float:
    return (seen.tokens_in + seen.tokens_out) / seen.seconds


@_figure
def requests_per_s(seen: _Seen) -> float:
    return len(seen.served) * seen.run.replicas / seen.seconds


@_figure
def power_w_mean(seen: _Seen) -> float:
    return seen.energy_j / seen.run.duration_s if seen.run.duration_s > 0.0 else np.nan


@_figure
def power_w_p99(seen: _Seen) -> float:
    """Over time, with that in which the server waited at idle power."""
    if np.isnan(seen.energy_j):
        return np.nan
    watts = np.append(seen.span_j / seen.span_s, seen.run.idle_w)
    return float(weighted_percentiles(watts, np.append(seen.span_s, seen.waited_s), _P99)[0])


@_figure
def tokens_per_joule(seen: _Seen) -> float:
    return seen.tokens_out / seen.energy_j if seen.served else np.nan


@_figure
def kv_peak_fraction(seen: _Seen) -> float:
    return float(seen.run.kv.peak / seen.run.kv.capacity)


@_figure
def users_in_service(seen: _Seen) -> int:
    return round(seen.record.peak_sequences * seen.run.replicas)


@_figure
def preemptions(seen: _Seen) -> int:
    return round(seen.record.preemptions * seen.run.replicas)


@_figure
def refused(seen: _Seen) -> int:
    return round(len(seen.record.refused) * seen.run.replicas)


@_figure
def requests(seen: _Seen) -> int:
    return round(len(seen.served) * seen.run.replicas)


@_figure
def prefix_hit_fraction(seen: _Seen) -> float:
    return seen.run.kv.hit_tokens / seen.run.kv.asked_tokens if seen.run.kv.asked_tokens else 0.0


@_figure
def duration_s(seen: _Seen) -> float:
    return seen.seconds


# A new figure of a run: a function named as its row, or as its quantity.


@_figure
def steady_output_tokens_per_s(seen: _Seen) -> float:
    """Those of the mean number of users in service while all have a request to send, by Little's law."""
    if not seen.served:
        return np.nan
    until = seen.sending_s
    sent, last = column_of(seen.served, "sent_s"), column_of(seen.served, "last_token_s")
    in_service = float(np.maximum(0.0, np.minimum(last, until) - sent).sum()) / until
    tokens = float(column_of(seen.served, "osl").sum())
    return seen.run.replicas * in_service * tokens / float((last - sent).sum())


@_figure
def steady_power_w_mean(seen: _Seen) -> float:
    if not seen.served:
        return np.nan
    spans, joules = seen.span_s, seen.span_j
    within = np.clip((seen.sending_s - (np.cumsum(spans) - spans)) / spans, 0.0, 1.0)
    return float((joules * within).sum() / (spans * within).sum())


@_figure
def steady_tokens_per_joule(seen: _Seen) -> float:
    return steady_output_tokens_per_s(seen) / steady_power_w_mean(seen)


def _value(row: Metric, seen: _Seen) -> float:
    function = _FUNCTIONS.get(row.name)
    if function is not None:
        return float(value) if isinstance(value := function(seen), np.floating) else value
    if row.inverse_of:
        of = metric(row.inverse_of)
        assert of is not None
        return 1.0 / seen.statistic(of.quantity, of.statistic)
    return seen.statistic(row.quantity, row.statistic) * _PER_SECOND.get(row.unit, 1.0)


def weighted_percentiles(values: np.ndarray, weight: np.ndarray, percentiles: tuple[float, ...]) -> np.ndarray:
    """The smallest value below which at least each percentage of the weight lies."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    found = np.searchsorted(share, np.array(percentiles) / _PERCENT * share[-1])
    return values[order][np.minimum(found, len(values) - 1)]


@cache
def _statistics(least: Shown) -> dict[str, tuple[str, ...]]:
    """The statistics of each quantity that has a function. Raises NotImplementedError for a row that has none."""
    found: dict[str, tuple[str, ...]] = {}
    for row in shown(least):
        if row.name not in _FUNCTIONS and row.quantity in _FUNCTIONS:
            found[row.quantity] = (*found.get(row.quantity, ()), row.statistic)
        elif row.name not in _FUNCTIONS and not row.inverse_of:
            raise NotImplementedError(f"npusim/serving/metrics.py has no function named {row.name} or {row.quantity}")
    return found


_statistics(Shown.COMPARED)
