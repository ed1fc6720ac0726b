"""Intervals of a run's figures: the same load served by machines drawn from the certificates' ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import DoesNotFit
from npusim.hardware.draws import RANGE_COVERAGE, draw
from npusim.mapping.deployment import Deployment
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, simulate

DRAWS = 32


def drawn_engines(deployment: Deployment, seed: int, draws: int = DRAWS) -> Iterator[tuple[Deployment, AnalyticEngine]]:
    """`draws` deployments with an engine each, their numbers drawn together by one Latin hypercube."""
    machines, runtimes = draw(deployment.system, deployment.runtime, draws, seed, deployment.overlay)
    for index in range(draws):
        drawn = deployment.with_records(machines[index : index + 1], runtimes[index : index + 1])
        yield drawn, AnalyticEngine(drawn)


def drawn_metrics(load: Load, engines: Iterable[tuple[Deployment, AnalyticEngine]], seed: int) -> list[RunMetrics]:
    """The figures of `load` on every drawn deployment that holds the model at all."""
    results = []
    for deployment, engine in engines:
        try:
            results.append(measure(simulate(deployment, load, seed, engine)))
        except DoesNotFit:
            continue
    return results


def interval(value: float, drawn: Iterable[float]) -> tuple[float, float]:
    """(low, high) of the central 90 % of the draws, widened to hold `value`; NaN where no draw has a figure."""
    figures = np.array([figure for figure in drawn if np.isfinite(figure)])
    if not len(figures) or not np.isfinite(value):
        return float("nan"), float("nan")
    tail = (1.0 - RANGE_COVERAGE) / 2.0
    low, high = np.quantile(figures, (tail, 1.0 - tail))
    return min(float(low), value), max(float(high), value)
