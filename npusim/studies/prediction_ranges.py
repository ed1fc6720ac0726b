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
from npusim.studies.measured.component import drawn_numbers, numbers_of, overlay_of
from npusim.studies.measured.regime import residual_key

_DRAWS_OF_KIND = {"published_serving": 9, "served_models": 9}
"""Runs of traces, or of hundreds of users, take long: fewer draws of them."""

_BRIEF = ("served_models",)
"""Kinds of which runs of half the requests say by which factor a drawn machine moves a figure."""

Figures = dict[str, float]


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
    found = []
    for case, value in predicted:
        given, figures = drawn[case.subject]
        scale = value / given[case.figure] if given else 1.0
        values = [scale * each.get(case.figure, math.nan) for each in figures]
        found.append(_range(value, values, discrepancy(overlays[case.subject.arch], *residual_key(case))))
    return found


def _drawn_figures(
    cases: Iterable[Case], overlays: dict[str, Overlay | None], seed: int
) -> dict[Subject, tuple[Figures, list[Figures]]]:
    """The figures of every subject under each set of drawn numbers of its architecture.

    Before them those under the given numbers, where the runs are brief and do not compare with full ones.
    """
    numbers: dict[tuple[str, int], list[Numbers]] = {}
    found: dict[Subject, tuple[Figures, list[Figures]]] = {}
    for case in cases:
        subject, arch, count = case.subject, case.subject.arch, _DRAWS_OF_KIND.get(case.kind, DRAWS)
        if subject in found:
            continue
        if (arch, count) not in numbers:
            given = numbers_of(arch, uncalibrated=overlays[arch] is None)
            numbers[arch, count] = [given, *drawn_numbers(arch, overlays[arch], count, seed)]
        given, *drawn = numbers[arch, count]
        if case.kind in _BRIEF:
            brief = [_figures(subject, each.brief(), seed) for each in (given, *drawn)]
            found[subject] = brief[0], brief[1:]
        else:
            found[subject] = {}, [_figures(subject, each, seed) for each in drawn]
    return found


def _figures(subject: Subject, numbers: Numbers, seed: int) -> Figures:
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
