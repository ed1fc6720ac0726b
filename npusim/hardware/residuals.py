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
from npusim.metrics import metric as metric_of
from npusim.metrics import resolve, siblings

Key = tuple[str, str]
"""A metric and a regime."""


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
    known = {(resolve(residual.metric), residual.regime): residual.half_width for residual in residuals}
    return _known_or_nearest(known, (resolve(metric), regime), frozenset())


def _known_or_nearest(known: Mapping[Key, float], key: Key, tried: frozenset[Key]) -> float | None:
    if key in tried:
        return None
    name, regime = key
    own = next((known[each, regime] for each in (name, *siblings(name)) if (each, regime) in known), None)
    if own is not None:
        return own
    for parts in _nearest(name, regime):
        widths = [_known_or_nearest(known, each, tried | {key}) for each in parts]
        found = [width for width in widths if width is not None]
        if len(found) == len(widths):
            return math.hypot(*found)
    return None


def _nearest(name: str, regime: str) -> Iterator[list[Key]]:
    """Figures that the figure follows from together, the nearest first."""
    row = metric_of(name)
    if row is not None and row.inverse_of:
        yield [(row.inverse_of, regime)]
    if row is not None and row.error_from:
        yield [(nearest, regime) for nearest in row.error_from]
    if row is not None and regime in row.measured_as:
        yield [row.measured_as[regime]]
