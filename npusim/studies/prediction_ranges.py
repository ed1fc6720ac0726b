"""90 % intervals of predicted figures: drawn numbers, and what a calibration left unexplained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.errors import UserError
from npusim.hardware.overlay import Overlay
from npusim.serving.uncertainty import DRAWS, discrepancy, interval
from npusim.studies.measured.case import Case, Numbers, Subject
from npusim.studies.measured.component import drawn_numbers, overlay_of
from npusim.studies.measured.regime import residual_key

_DRAWS_OF_KIND = {"published_serving": 9}
"""Runs of traces take seconds each: fewer draws of them."""


@dataclass(frozen=True)
class PredictionRange:
    """low, high: 90 % interval, in the prediction's unit; u_input: relative standard uncertainty from the inputs."""

    low: float
    high: float
    u_input: float


def ranges(
    predicted: Sequence[tuple[Case, float]], seed: int, uncalibrated: bool = False
) -> list[PredictionRange | None]:
    """The range of each case's prediction, None where no draw has a figure."""
    archs = dict.fromkeys(case.subject.arch for case, _ in predicted)
    overlays = {arch: None if uncalibrated else overlay_of(arch) for arch in archs}
    drawn = _drawn_figures((case for case, _ in predicted), overlays, seed)
    return [
        _range(value, [figures.get(case.figure, math.nan) for figures in drawn[case.subject]], width)
        for case, value in predicted
        for width in (discrepancy(overlays[case.subject.arch], *residual_key(case)),)
    ]


def _drawn_figures(
    cases: Iterable[Case], overlays: dict[str, Overlay | None], seed: int
) -> dict[Subject, list[dict[str, float]]]:
    """The figures of every subject under each set of drawn numbers of its architecture."""
    numbers: dict[tuple[str, int], list[Numbers]] = {}
    found: dict[Subject, list[dict[str, float]]] = {}
    for case in cases:
        arch, count = case.subject.arch, _DRAWS_OF_KIND.get(case.kind, DRAWS)
        if case.subject in found:
            continue
        if (arch, count) not in numbers:
            numbers[arch, count] = drawn_numbers(arch, overlays[arch], count, seed)
        found[case.subject] = [_figures(case.subject, each, seed) for each in numbers[arch, count]]
    return found


def _figures(subject: Subject, numbers: Numbers, seed: int) -> dict[str, float]:
    try:
        return subject.predict(numbers, seed)
    except UserError:
        return {}


def _range(value: float, drawn: list[float], half_width: float) -> PredictionRange | None:
    figures = np.array([figure for figure in drawn if math.isfinite(figure) and figure > 0.0])
    if not len(figures):
        return None
    low, high = interval(value, figures, half_width)
    return PredictionRange(low, high, float(np.log(figures).std()))
