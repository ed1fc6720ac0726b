"""Few physical numbers, moved by many measured figures: prior, likelihood, maximum a posteriori, Laplace covariance.

Each ranged number has a standard normal coordinate z under the split distribution of its provenance's range
(hardware/draws.py), so the prior is z ~ N(0, 1). A figure's error is log(predicted / measured), Student-t around 0 with
the measurement's own deviation and a discrepancy of the model beside it; the figures of one run share one run's weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import ndtr

from npusim.hardware.draws import RangedNumber, quantile

DEGREES_OF_FREEDOM = 4.0
DISCREPANCY = 0.05
STEP = 0.2
"""Of a coordinate, for a difference quotient: wide enough to see past the small jumps of serving runs."""
_INFORMATION = (DEGREES_OF_FREEDOM + 1.0) / (DEGREES_OF_FREEDOM + 3.0)
"""Of one figure about its location under Student's t, relative to a normal one of the same deviation."""
FARTHEST_Z = 3.0
_EVALUATIONS = 12
_TOLERANCE = 3e-4
_LEAST_INFORMATION = 0.01
"""About a coordinate, whose prior holds 1: below it the posterior deviation is within 0.5 % of the prior's."""

LogErrors = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fit:
    """z: coordinates at the maximum (numbers,); covariance: of z (numbers, numbers); slopes: of the figures' log errors
    with the coordinates there (figures, numbers).

    Laplace's approximation with the expected information (Lange, Little, Taylor 1989, "Robust Statistical Modeling
    Using the t Distribution", JASA 84(408)).
    """

    z: np.ndarray
    covariance: np.ndarray
    slopes: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Posterior over prior standard deviation of each number: 1 where the data say nothing."""
        return np.sqrt(np.diag(self.covariance))

    def spread(self, slopes: np.ndarray) -> np.ndarray:
        """Posterior standard deviation of the logarithm of figures of those slopes, (figures,)."""
        return np.sqrt(np.einsum("fi,ij,fj->f", slopes, self.covariance, slopes))


def sensitive(slopes: np.ndarray, deviations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Which coordinates the figures say anything of, bool (numbers,). slopes: (figures, numbers)."""
    return np.diag(_information(slopes, deviations, weights)) > _LEAST_INFORMATION


def maximum_a_posteriori(
    log_errors: LogErrors,
    slopes: np.ndarray,
    deviations: np.ndarray,
    weights: np.ndarray,
    start: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fit:
    """Fit coordinates from `start`. log_errors(z): (figures,); slopes: theirs near `start` (figures, numbers).

    deviations: of each error; weights: share of its run; bounds: least and largest coordinates, None for the farthest
    of all. Slopes are not asked for again: they follow the errors.
    """
    path = _Path(log_errors, slopes, start)
    roots = np.sqrt(weights)

    def misfit(z: np.ndarray) -> np.ndarray:
        return np.concatenate([roots * _student(path.errors(z) / deviations), z])

    def misfit_slopes(z: np.ndarray) -> np.ndarray:
        slopes = path.slopes(z)
        factors = roots * _student_slope(path.errors(z) / deviations) / deviations
        return np.vstack([factors[:, np.newaxis] * slopes, np.eye(len(z))])

    found = least_squares(
        misfit,
        start,
        jac=misfit_slopes,
        method="dogbox",
        bounds=bounds or (-FARTHEST_Z, FARTHEST_Z),
        max_nfev=_EVALUATIONS,
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
    )
    return laplace(found.x, path.slopes(found.x), deviations, weights)


def laplace(z: np.ndarray, slopes: np.ndarray, deviations: np.ndarray, weights: np.ndarray) -> Fit:
    """The fit whose maximum is known to lie at z, where errors have these slopes."""
    information = _information(slopes, deviations, weights)
    return Fit(z, np.linalg.inv(information + np.eye(len(z))), slopes)


def difference_slopes(function: LogErrors, z: np.ndarray) -> np.ndarray:
    """Change of each figure with each coordinate, (figures, numbers), by steps towards the prior's centre."""
    base = function(z)
    moved = [(function(z + step * unit) - base) / step for step, unit in zip(steps(z), np.eye(len(z)), strict=True)]
    return np.stack(moved, axis=1)


def steps(z: np.ndarray) -> np.ndarray:
    """The step of each coordinate's difference quotient."""
    return np.where(z > 0.0, -STEP, STEP)


class _Path:
    """Errors on the way to a maximum, and their slopes by rank-one updates that keep zeros.

    A figure's slopes change along the step only, and only for the coordinates that move it (Schubert 1970,
    "Modification of a Quasi-Newton Method for Nonlinear Equations with a Sparse Jacobian", Math. Comp. 24(109)).
    """

    def __init__(self, log_errors: LogErrors, slopes: np.ndarray, start: np.ndarray) -> None:
        self._log_errors = log_errors
        self._slopes = slopes.copy()
        self._moves = slopes != 0.0
        self._z, self._errors = start, log_errors(start)
        self._tried, self._tried_errors = self._z, self._errors

    def errors(self, z: np.ndarray) -> np.ndarray:
        if not np.array_equal(z, self._tried):
            self._tried, self._tried_errors = z.copy(), self._log_errors(z)
        return self._tried_errors

    def slopes(self, z: np.ndarray) -> np.ndarray:
        errors, step = self.errors(z), z - self._z
        if step.any():
            steps = self._moves * step
            missed = errors - self._errors - self._slopes @ step
            self._slopes += (missed / np.maximum((steps**2).sum(axis=1), np.finfo(float).tiny))[:, np.newaxis] * steps
            self._z, self._errors = z.copy(), errors
        return self._slopes


def _information(slopes: np.ndarray, deviations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected information of the figures about the coordinates, (numbers, numbers)."""
    standard = slopes / deviations[:, np.newaxis]
    information: np.ndarray = _INFORMATION * (weights[:, np.newaxis] * standard).T @ standard
    return information


def _student(standard: np.ndarray) -> np.ndarray:
    """Signed root of twice the negative log-likelihood of Student's t: its square is the misfit."""
    misfit = (DEGREES_OF_FREEDOM + 1.0) * np.log1p(standard**2 / DEGREES_OF_FREEDOM)
    return np.sign(standard) * np.sqrt(misfit)


def _student_slope(standard: np.ndarray) -> np.ndarray:
    """Derivative of `_student`."""
    root, middle = _student(standard), math.sqrt((DEGREES_OF_FREEDOM + 1.0) / DEGREES_OF_FREEDOM)
    ratio = np.divide(standard, root, out=np.full_like(standard, 1.0 / middle), where=root != 0.0)
    slope: np.ndarray = (DEGREES_OF_FREEDOM + 1.0) * ratio / (DEGREES_OF_FREEDOM + standard**2)
    return slope


def value_at(number: RangedNumber, z: float) -> float:
    """The number at a coordinate."""
    return float(quantile(number.quantity, np.array([ndtr(z)]))[0])


def run_weights(runs: Sequence[str]) -> np.ndarray:
    """One over the number of figures of each figure's run."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run] = counts.get(run, 0) + 1
    return np.array([1.0 / counts[run] for run in runs])
