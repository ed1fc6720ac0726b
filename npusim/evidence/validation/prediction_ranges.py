"""90 % intervals of predicted figures: drawn numbers, and what a calibration left unexplained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers, Predictor
from npusim.evidence.measured.component import calibration_for, drawn_numbers, numbers_of
from npusim.evidence.measured.kinds import table_kinds
from npusim.evidence.measured.regime import residual_key
from npusim.hardware.calibration import Calibration
from npusim.serving.uncertainty import DRAWS, interval

_Figures = dict[str, float]


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
    archs = dict.fromkeys(case.predictor.arch for case, _ in predicted)
    calibrations = {arch: None if uncalibrated else calibration_for(arch) for arch in archs}
    drawn = _drawn_figures((case for case, _ in predicted), calibrations, seed)
    found = []
    for case, value in predicted:
        given, figures = drawn[case.predictor]
        scale = value / given[case.figure] if given else 1.0
        values = [scale * each.get(case.figure, math.nan) for each in figures]
        found.append(_range(value, values, _left(calibrations[case.predictor.arch], *residual_key(case))))
    return found


def _drawn_figures(
    cases: Iterable[Case], calibrations: dict[str, Calibration | None], seed: int
) -> dict[Predictor, tuple[_Figures, list[_Figures]]]:
    """The figures of every predictor under each set of drawn numbers of its architecture.

    Before them those under the given numbers, where the runs are brief and do not compare with full ones.
    """
    numbers: dict[tuple[str, int], list[Numbers]] = {}
    found: dict[Predictor, tuple[_Figures, list[_Figures]]] = {}
    for case in cases:
        predictor, arch, count = case.predictor, case.predictor.arch, table_kinds()[case.kind].draws or DRAWS
        if predictor in found:
            continue
        if (arch, count) not in numbers:
            given = numbers_of(arch, uncalibrated=calibrations[arch] is None)
            numbers[arch, count] = [given, *drawn_numbers(arch, calibrations[arch], count, seed)]
        given, *drawn = numbers[arch, count]
        if table_kinds()[case.kind].brief:
            brief = [_figures(predictor, each.brief(), seed) for each in (given, *drawn)]
            found[predictor] = brief[0], brief[1:]
        else:
            found[predictor] = {}, [_figures(predictor, each, seed) for each in drawn]
    return found


def _figures(predictor: Predictor, numbers: Numbers, seed: int) -> _Figures:
    try:
        return predictor.predict(numbers, seed)
    except UserError:
        return {}


def _left(calibration: Calibration | None, metric: str, regime: str) -> float:
    """What the calibration left unexplained; nothing is added to the ranges of blind predictions, which are judged."""
    return 0.0 if calibration is None else calibration.half_width(metric, regime) or 0.0


def _range(value: float, drawn: list[float], half_width: float) -> PredictionRange | None:
    figures = np.array([figure for figure in drawn if math.isfinite(figure) and figure > 0.0])
    if not len(figures):
        return None
    low, high = interval(value, figures, half_width)
    return PredictionRange(low, high, float(np.log(figures).std()))
