"""What a calibration leaves unexplained: errors on groups that it had not seen, by metric and regime.

Metrics have the names of predictions: `time_us`, `energy_j`, `power_w` of a pass; `ttft_ms_mean`,
`output_tokens_per_s`, `power_w` and so on of a serving run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from npusim.hardware.base import Part, Share, Spread, Whole, WholeOrZero

Key = tuple[str, str]
"""A metric and a regime."""

DECODE, PREFILL, MIXED, RUN, STALLED_RUN = "decode", "prefill", "mixed", "run", "run with stalls"
"""Regimes of whole passes and of serving runs; those of single operators are `operator_regime`."""

_STATISTICS = ("mean", "p50", "p90", "p95", "p99")
_LATENCY = "_ms_"
_NEAREST = {
    "energy_j": ("time_us", "power_w"),
    "tokens_per_joule": ("output_tokens_per_s", "power_w"),
    "total_tokens_per_s": ("output_tokens_per_s",),
    "output_tokens_per_s": ("tpot_ms_mean",),
    "tokens_per_s_per_user": ("tpot_ms_mean",),
    "duration_s": ("output_tokens_per_s",),
    "power_w_mean": ("power_w",),
    "power_w_p99": ("power_w",),
    "tpot": ("itl_ms_p50",),
    "itl": ("tpot_ms_mean",),
    "e2e": ("tpot_ms_mean",),
    "client_queue": ("ttft_ms_mean",),
}
"""The measured metrics that one which was not measured, or latency of which nothing was, follows from: their errors
join as the root of the sum of their squares."""
_NEAREST_REGIME = {
    ("time_us", DECODE): ("tpot_ms_mean", RUN),
    ("time_us", PREFILL): ("ttft_ms_mean", RUN),
    ("time_us", MIXED): ("time_us", PREFILL),
    ("power_w", DECODE): ("power_w", RUN),
    ("power_w", PREFILL): ("power_w", RUN),
    ("power_w", MIXED): ("power_w", RUN),
    ("ttft_ms_mean", RUN): ("time_us", PREFILL),
    ("tpot_ms_mean", RUN): ("time_us", DECODE),
    ("power_w", RUN): ("power_w", DECODE),
}
"""Where passes of a kind were never timed: the figure of serving runs that consists of them, and the other way."""


HalfWidth = Annotated[float, Field(ge=0.0, le=5.0, strict=True)]
"""Of a logarithm: 5 is a factor of 148, beyond which nothing is predicted."""


class Residual(Part):
    """Half-width of the logarithm of measured / predicted that a posterior leaves unexplained, for one metric in one
    regime: beside the range of the posterior's draws, as the root of the sum of squares, it holds 90 %.

    groups: exchangeable groups behind it; enough: False below nine groups, where 90 % cannot be had from groups alone
    and a prior stands for one more.
    """

    metric: str
    regime: str
    groups: WholeOrZero
    half_width: HalfWidth
    enough: bool


class LeftOut(Part):
    """Errors of one metric of one kind of table in one regime, each under a fit that had not seen its group.

    unseen: what was left out together, a `group` of runs, a `model` or a `chip`; metric: the table's name; mape: mean
    absolute error, a fraction; coverage: part of the figures within the interval that the other groups give; width:
    mean (high - low) / predicted of those. All with 90 % bounds of a bootstrap over groups; None with a single group.
    """

    unseen: str
    table: str
    metric: str
    regime: str
    figures: Whole
    groups: WholeOrZero
    mape: Spread
    mape_low: Spread | None
    mape_high: Spread | None
    coverage: Share
    coverage_low: Share | None
    coverage_high: Share | None
    width: Spread
    width_low: Spread | None
    width_high: Spread | None


def operator_regime(operator: str) -> str:
    """The regime of an operator that is timed alone."""
    return f"operator {operator}"


def half_width(residuals: Sequence[Residual], metric: str, regime: str) -> float | None:
    """The half-width of a metric in a regime, or that which follows from measured ones; None where none does."""
    known = {(residual.metric, residual.regime): residual.half_width for residual in residuals}
    return _known_or_nearest(known, (metric, regime), frozenset())


def _known_or_nearest(known: Mapping[Key, float], key: Key, tried: frozenset[Key]) -> float | None:
    if key in tried:
        return None
    own = next((known[each] for each in _statistics(*key) if each in known), None)
    if own is not None:
        return own
    for parts in _nearest(*key):
        widths = [_known_or_nearest(known, each, tried | {key}) for each in parts]
        found = [width for width in widths if width is not None]
        if len(found) == len(widths):
            return math.hypot(*found)
    return None


def _statistics(metric: str, regime: str) -> Iterator[Key]:
    """The figure itself, then other statistics of the same latency."""
    yield metric, regime
    latency, separator, _ = metric.partition(_LATENCY)
    if separator:
        yield from ((f"{latency}{_LATENCY}{statistic}", regime) for statistic in _STATISTICS)


def _nearest(metric: str, regime: str) -> Iterator[list[Key]]:
    """Figures that the figure follows from together, the nearest first."""
    name, separator, _ = metric.partition(_LATENCY)
    if name in _NEAREST:
        yield [(nearest, regime) for nearest in _NEAREST[name]]
    mean = f"{name}{_LATENCY}mean" if separator else metric
    if (mean, regime) in _NEAREST_REGIME:
        yield [_NEAREST_REGIME[mean, regime]]
