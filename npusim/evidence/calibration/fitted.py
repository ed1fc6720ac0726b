"""A fit as the calibration that carries it: numbers with their ranges, and their correlation."""

from __future__ import annotations

from typing import Any

from npusim.evidence.calibration.conformal import TAIL_Z
from npusim.evidence.calibration.posterior import Fit, value_at
from npusim.evidence.calibration.problem import Problem
from npusim.hardware.calibration import CalibratedNumber
from npusim.hardware.draws import RangedNumber

_DIGITS = 3


def fitted_numbers(problem: Problem, fit: Fit) -> tuple[CalibratedNumber, ...]:
    """Every number of the fit, those that are drawn as one after each other; ranges hold 90 % of the posterior."""
    return tuple(
        _number(number, float(fit.z[position]), float(fit.sd[position]))
        for position, index in enumerate(problem.chosen)
        for number in problem.numbers[index]
    )


def fitted_correlation(problem: Problem, fit: Fit) -> tuple[tuple[float, ...], ...]:
    """Lower triangle over `fitted_numbers`; numbers that are drawn as one are fully correlated."""
    position = [position for position, index in enumerate(problem.chosen) for _ in problem.numbers[index]]
    matrix = fit.covariance / (fit.sd[:, None] * fit.sd)
    return tuple(
        tuple(round(float(matrix[position[row], position[column]]), _DIGITS) for column in range(row))
        for row in range(len(position))
    )


def fitted_parameters(problem: Problem, fit: Fit) -> dict[str, dict[str, Any]]:
    """{owner.path: {prior, value, sd, unit, identified}} in SI units."""
    parameters = {}
    for position, index in enumerate(problem.chosen):
        z, sd = float(fit.z[position]), float(fit.sd[position])
        for number in problem.numbers[index]:
            low, high = (value_at(number, z + side * TAIL_Z * sd) for side in (-1.0, 1.0))
            parameters[f"{number.owner}.{number.label}"] = {
                "prior": number.quantity.value,
                "value": value_at(number, z),
                "sd": (high - low) / (2.0 * TAIL_Z),
                "unit": number.quantity.unit,
                "identified": round(sd, _DIGITS),
            }
    return parameters


def _number(number: RangedNumber, z: float, sd: float) -> CalibratedNumber:
    value, low, high = (_may_be(number, value_at(number, at)) for at in (z, z - TAIL_Z * sd, z + TAIL_Z * sd))
    written = float(f"{value:.6g}")
    unit = f" {number.quantity.unit}" if number.quantity.unit else ""
    return CalibratedNumber(
        owner=number.owner,
        path=number.label,
        value=f"{value:.6g}{unit}",
        sd=f"{(high - low) / (2.0 * TAIL_Z):.3g}{unit}",
        low=f"{min(float(f'{low:.6g}'), written):.6g}{unit}",
        high=f"{max(float(f'{high:.6g}'), written):.6g}{unit}",
        prior=number.quantity.text,
        identified=round(sd, _DIGITS),
    )


def _may_be(number: RangedNumber, value: float) -> float:
    """The value, or the nearest that the number can have: a count has no fractions."""
    if number.domain is None or value == 0.0:
        return value
    least, most = number.domain.ends()
    return min(max(float(round(value)) if number.is_count else value, least), most)
