"""Intervals of figures: machines drawn from the ranges of their numbers, and the error that a calibration left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from npusim.engine.analytic import COARSE, AnalyticEngine
from npusim.engine.speculation import analytic_engine
from npusim.errors import DoesNotFit
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import calibrated_systems
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.hardware.units import KINDS
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import ranged_shared, with_shared
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import simulate

DRAWS = 32
"""Draws of all uncertain numbers behind an interval, by default."""


def drawn_deployments(deployment: Deployment, seed: int, draws: int = DRAWS) -> Iterator[Deployment]:
    """`draws` deployments: machines, runtimes and the assumptions that all chips share drawn as `drawn_values` says."""
    machines, runtimes, shared = deployment.drawn(ranged_shared(deployment), draws, seed)
    for index in range(draws):
        values = {number: float(column[index]) for number, column in shared.items()}
        records = machines[index : index + 1], runtimes[index : index + 1]
        yield with_shared(deployment, values).with_records(*records)


def drawn_engines(
    deployment: Deployment, seed: int, draws: int = DRAWS, max_sequences: int | None = None
) -> Iterator[tuple[Deployment, AnalyticEngine]]:
    """`draws` drawn deployments with an engine each."""
    for drawn in drawn_deployments(deployment, seed, draws):
        yield drawn, analytic_engine(drawn, max_sequences, COARSE)


def drawn_metrics(load: Load, engines: Iterable[tuple[Deployment, AnalyticEngine]], seed: int) -> list[RunMetrics]:
    """The figures of `load` on every drawn deployment that holds the model at all."""
    results = []
    for deployment, engine in engines:
        try:
            results.append(measure(simulate(deployment, load, seed, engine)))
        except DoesNotFit:
            continue
    return results


def interval(value: float, drawn: Iterable[float], half_width: float = 0.0) -> tuple[float, float]:
    """(low, high) of the central 90 % of the draws, widened to hold `value`; NaN where no draw has a figure.

    Quantiles of few draws are the median-unbiased ones (Hyndman, Fan 1996, The American Statistician 50(4)).

    half_width: of the logarithm of measured / predicted, what the draws do not explain; on each side the root of the
    sum of its square and that of the draws' distance in the logarithm.
    """
    figures = np.array([figure for figure in drawn if np.isfinite(figure)])
    if not len(figures) or not np.isfinite(value):
        return float("nan"), float("nan")
    tail = (1.0 - RANGE_COVERAGE) / 2.0
    below, above = np.quantile(figures, (tail, 1.0 - tail), method="median_unbiased")
    low, high = min(float(below), value), max(float(above), value)
    if half_width == 0.0 or value <= 0.0:
        return low, high
    if low > 0.0:
        low = value * math.exp(-math.hypot(math.log(value / low), half_width))
    return low, value * math.exp(math.hypot(math.log(high / value), half_width))


def interval_text(calibration: Calibration | None, draws: int = DRAWS) -> str:
    """How the 90 % intervals of an architecture were made, in one line."""
    drawn = (
        f"90 % intervals: {draws} machines and runtimes drawn together (Latin hypercube) from {{}}, with {{}} drawn "
        "beside them; all figures are of the same draws, none beyond a hard bound"
    )
    if calibration is None or calibration.of_another:
        largest = f"the largest error that a calibration left ({', '.join(_calibrated())})"
        ranges = (
            "their ranges" if calibration is None else "the posterior of what is inherited and the ranges of the rest"
        )
        return drawn.format(ranges, f"{largest}, since nothing measured of this chip is used")
    few = [residual for residual in calibration.residuals if not residual.enough]
    short = (
        f" (fewer than nine groups in {len(few)} of {len(calibration.residuals)} regimes: a prior joins them)"
        if few
        else ""
    )
    error = f"the cross-validated error beyond it{short}, that of the nearest figure where one was not measured,"
    return drawn.format("the calibration's posterior", error)


def _calibrated() -> list[str]:
    return [name for unit in KINDS for name in calibrated_systems(unit)]
