"""Few physical numbers, moved by many measured figures: prior, likelihood, maximum a posteriori, Laplace covariance.

Each ranged number has a standard normal coordinate z under the split distribution of its certificate's range
(hardware/draws.py), so the prior is z ~ N(0, 1). A figure's error is log(predicted / measured), Student-t around 0 with
the measurement's own deviation and a discrepancy of the model beside it; the figures of one run share one run's weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import norm

from npusim.hardware.draws import RangedNumber, quantile

DEGREES_OF_FREEDOM = 4.0
DISCREPANCY = 0.05
_INFORMATION = (DEGREES_OF_FREEDOM + 1.0) / (DEGREES_OF_FREEDOM + 3.0)
"""Of one figure about its location under Student's t, relative to a normal one of the same deviation."""
_FARTHEST_Z = 3.0
_STEP = 0.05
_EVALUATIONS = 25
_LEAST_SENSITIVITY = 1e-3

LogErrors = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fit:
    """z: coordinates at the maximum (numbers,); covariance: of z (numbers, numbers).

    Laplace's approximation with the expected information (Lange, Little, Taylor 1989, "Robust Statistical Modeling
    Using the t Distribution", JASA 84(408)).
    """

    z: np.ndarray
    covariance: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Posterior over prior standard deviation of each number: 1 where the data say nothing."""
        return np.sqrt(np.diag(self.covariance))


def sensitive(log_errors: LogErrors, size: int) -> np.ndarray:
    """Which of `size` coordinates move any error by more than a thousandth per standard deviation, bool (size,)."""
    base = log_errors(np.zeros(size))
    moved = np.zeros(size, np.bool_)
    for index in range(size):
        z = np.zeros(size)
        z[index] = 0.5
        moved[index] = np.abs(log_errors(z) - base).max() > 0.5 * _LEAST_SENSITIVITY
    return moved


def maximum_a_posteriori(
    log_errors: LogErrors, size: int, deviations: np.ndarray, weights: np.ndarray, start: np.ndarray | None = None
) -> Fit:
    """Fit `size` coordinates. log_errors(z): (figures,); deviations: of each error; weights: share of its run.

    start: where to seek from, the priors' centre by default.
    """

    def standard(z: np.ndarray) -> np.ndarray:
        return log_errors(z) / deviations

    def residuals(z: np.ndarray) -> np.ndarray:
        return np.concatenate([np.sqrt(weights) * _student(standard(z)), z])

    found = least_squares(
        residuals,
        np.zeros(size) if start is None else start,
        jac=lambda z: _slopes(residuals, z),
        bounds=(-_FARTHEST_Z, _FARTHEST_Z),
        max_nfev=_EVALUATIONS,
    )
    slopes = _slopes(standard, found.x)
    information = _INFORMATION * (weights[:, np.newaxis] * slopes).T @ slopes
    return Fit(found.x, np.linalg.inv(information + np.eye(size)))


def _slopes(function: LogErrors, z: np.ndarray) -> np.ndarray:
    """Change of each figure with each coordinate, (figures, numbers), by steps towards the prior's centre."""
    base = function(z)
    steps = np.where(z > 0.0, -_STEP, _STEP)
    moved = [(function(z + step * unit) - base) / step for step, unit in zip(steps, np.eye(len(z)), strict=True)]
    return np.stack(moved, axis=1)


def _student(standard: np.ndarray) -> np.ndarray:
    """Signed root of twice the negative log-likelihood of Student's t: its square is the misfit."""
    misfit = (DEGREES_OF_FREEDOM + 1.0) * np.log1p(standard**2 / DEGREES_OF_FREEDOM)
    return np.sign(standard) * np.sqrt(misfit)


def value_at(number: RangedNumber, z: float) -> float:
    """The number at a coordinate."""
    return float(quantile(number.quantity, np.array([norm.cdf(z)]))[0])


def run_weights(runs: Sequence[str]) -> np.ndarray:
    """One over the number of figures of each figure's run."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run] = counts.get(run, 0) + 1
    return np.array([1.0 / counts[run] for run in runs])
