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
from npusim.metric_names import metric as metric_of
from npusim.metric_names import resolve, siblings

Key = tuple[str, str]
"""A metric and a regime."""


MOST_HALF_WIDTH = 5.0
HalfWidth = Annotated[float, Field(ge=0.0, le=MOST_HALF_WIDTH, strict=True)]
"""Half-width of a logarithm: 5 is a factor of 148, beyond which nothing is predicted."""


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
    """The half-width of a metric in a regime, or the one that follows from other metrics; None where none does."""
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
