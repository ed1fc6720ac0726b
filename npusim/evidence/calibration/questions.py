"""What is asked of a step table before it is fitted: is it in its unit, of this chip, and possible at all?

A fit pulls numbers towards whatever it is given. Times that no draw of the described chip comes near, and times that
no chip within the description's ranges could reach, are questioned and not fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.finding import Finding, gravest
from npusim.bounds.reading import Reading
from npusim.bounds.timed import least_times, step_rows
from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.placement import measured_deployment
from npusim.evidence.measured.step_columns import SECONDS
from npusim.evidence.measured.step_table import StepCases
from npusim.evidence.predictors.step import StepPredictor
from npusim.hardware.catalog import load_system

_FAR = 10.0
"""Times the nearest of all drawn chips' predictions, from which on a time is questioned."""
_DRAWS = 32
_NEAR_A_POWER = math.log(4.0)
"""How far, as a logarithm, a table's median may lie from a thousand (or a thousandth) to be in another unit."""
_SPREADS = 3.0
"""Relative standard deviations of a measurement by which a time may fall below what is possible."""


def require_plausible(steps: StepCases, predicted: np.ndarray, arch: str, seed: int) -> None:
    """Raises UserError for a step that cannot be predicted, that is far from all drawn chips, or below its bounds.

    predicted: microseconds at the middle of the description, (cases,), NaN where there is none.
    """
    for position in np.flatnonzero(~np.isfinite(predicted)).tolist():
        raise _unpredicted(steps, position, arch, seed)
    measured = np.array([case.measured for case in steps.cases])
    offs = np.log(measured / predicted)
    far = _far_from_all(steps.cases, measured, offs, arch, seed)
    if far.any():
        raise _far_off(steps, offs, far, predicted)
    broken = [(position, found) for position, case in enumerate(steps.cases) if (found := _broken(case)) is not None]
    if broken:
        position, found = max(broken, key=lambda each: each[1].low)
        more = f" ({len(broken)} of {len(measured)} rows are below their bounds)" if len(broken) > 1 else ""
        mend = "check the unit, the model and its format, the number of chips, or widen the description"
        told = f"{measured[position]:,.6g} us beat {found.bound} of {arch} as described: the step {found.reason}"
        raise UserError(steps.places[position], _column(steps), f"{told}{more}; {mend}")


def _unpredicted(steps: StepCases, position: int, arch: str, seed: int) -> UserError:
    reason = "the prediction is no number"
    try:
        steps.cases[position].predictor.predict(Numbers.of(load_system(arch, uncalibrated=True)), seed)
    except UserError as error:
        reason = str(error)
    return UserError(steps.places[position], "", f"cannot be predicted: {reason}; leave the row out")


def _far_from_all(cases: Sequence[Case], measured: np.ndarray, offs: np.ndarray, arch: str, seed: int) -> np.ndarray:
    """Which times are far from the prediction of every drawn chip, bool (cases,)."""
    far = np.abs(offs) > math.log(_FAR)
    positions = np.flatnonzero(far).tolist()
    if not positions:
        return far
    drawn = Numbers.drawn(load_system(arch, uncalibrated=True), None, _DRAWS, seed)
    for position in positions:
        times = [_time_us(cases[position], numbers, seed) for numbers in drawn]
        known = np.array([time for time in times if math.isfinite(time)])
        nearest = np.abs(np.log(measured[position] / known)).min() if len(known) else math.inf
        far[position] = nearest > math.log(_FAR)
    return far


def _time_us(case: Case, numbers: Numbers, seed: int) -> float:
    try:
        return case.predictor.predict(numbers, seed)[case.figure]
    except UserError:
        return math.nan


def _far_off(steps: StepCases, offs: np.ndarray, far: np.ndarray, predicted: np.ndarray) -> UserError:
    """The mistake of a whole table, or of one row of it."""
    position = int(np.argmax(np.abs(offs) * far))
    middle = float(np.median(offs[far]))
    whole = 2 * int(far.sum()) > len(offs)
    times = math.exp(abs(offs[position]))
    less = "less" if offs[position] < 0.0 else "more"
    told = (
        f"{steps.cases[position].measured:,.4g} us are {times:,.0f} times {less} than the {predicted[position]:,.4g} us"
    )
    asked = _other_unit(steps, middle if whole else float(offs[position]))
    mend = asked or "is it of this chip, model, format and number of chips?"
    return UserError(
        steps.places[position],
        _column(steps),
        f"{told} predicted ({int(far.sum())} of {len(offs)} rows are far off); {mend}",
    )


def _other_unit(steps: StepCases, off: float) -> str:
    """The question whether times are in another unit than their column says, "" where none would mend them."""
    times = steps.columns.times
    if times is None:
        return ""
    for unit, seconds in SECONDS.items():
        if unit != times.unit and abs(off + math.log(seconds / SECONDS[times.unit])) < _NEAR_A_POWER:
            return f"is the column in {unit}? name it by its unit (time_{unit})"
    return ""


def _column(steps: StepCases) -> str:
    return steps.columns.names["value"] if steps.columns.times is None else steps.columns.times.column


def _broken(case: Case) -> Finding | None:
    """The bound that a time beats, however it was measured; None where it beats none."""
    predictor = case.predictor
    assert isinstance(predictor, StepPredictor)
    deployment, seconds = measured_deployment(predictor.placement), case.measured * SECONDS["us"]
    rows = step_rows(deployment.model, deployment.precision, predictor.step())
    reading = Reading.exact(seconds).widened(_SPREADS * case.sigma)
    chips = deployment.plan.cards * deployment.system.chips_per_card
    ceilings = ceiling_of(predictor.arch, True), ceiling_of(predictor.arch, False)
    found = gravest(least_times(rows, ceilings, chips, reading))
    return found if found is not None and found.low > 1.0 else None
