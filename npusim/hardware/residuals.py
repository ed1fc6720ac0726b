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
    """Scatter of measured / predicted that a posterior leaves unexplained, for one metric in one regime.

    Beside the range of the posterior's draws, as the root of the sum of squares, it covers 90 %.
    """

    metric: str
    """Name of the predicted metric."""
    regime: str
    """Kind of pass, run or operator for which it holds."""
    groups: WholeOrZero
    """Number of exchangeable groups behind it."""
    half_width: HalfWidth
    """Half-width of the 90 % interval of log(measured / predicted), without a unit."""
    enough: bool
    """False below nine groups, where groups alone cannot give 90 % and a prior counts as one more."""


class LeftOut(Part):
    """Cross-validated errors of one metric of one kind of table in one regime.

    Bounds are those of a 90 % bootstrap over groups, None with a single group.
    """

    unseen: str
    """What was held out together: a `group` of runs, a `model` or a `chip`."""
    table: str
    """Kind of the measured table."""
    metric: str
    """Name of the metric in the table."""
    regime: str
    """Kind of pass, run or operator."""
    figures: Whole
    """Number of measured figures."""
    groups: WholeOrZero
    """Number of groups that were held out in turn."""
    mape: Spread
    """Mean absolute error, as a fraction."""
    mape_low: Spread | None
    """Lower bound of the mean absolute error, as a fraction."""
    mape_high: Spread | None
    """Upper bound of the mean absolute error, as a fraction."""
    coverage: Share
    """Fraction of the figures, 0 to 1, within the interval that the other groups give."""
    coverage_low: Share | None
    """Lower bound of the coverage, as a fraction."""
    coverage_high: Share | None
    """Upper bound of the coverage, as a fraction."""
    width: Spread
    """Mean width of those intervals over the prediction, as a fraction."""
    width_low: Spread | None
    """Lower bound of the width, as a fraction."""
    width_high: Spread | None
    """Upper bound of the width, as a fraction."""


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
