"""Errors of groups of runs under fits that have not seen them, and what they say of unseen runs.

Groups, not rows, are left out: the figures of a run, and the runs of one lab, share their errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

from npusim.hardware.draws import RANGE_COVERAGE
from npusim.hardware.residuals import LeftOut, Residual
from npusim.studies.calibration_problem import Problem
from npusim.studies.conformal import GROUPS_FOR_COVERAGE, half_width
from npusim.studies.measured.case import Case
from npusim.studies.measured.regime import residual_key

FOLDS = 5
_RESAMPLES = 1000
_DIGITS = 4
Say = Callable[[str], None]
Key = TypeVar("Key", bound=Hashable)


def mape(log_errors: np.ndarray) -> float:
    """Mean |predicted / measured - 1|."""
    return float(np.mean(np.abs(np.expm1(log_errors))))


def left_out_errors(problem: Problem, start: np.ndarray, seed: int, tell: Say) -> np.ndarray | None:
    """log errors of every case under a fit that has not seen its group; None with a single group.

    Groups go to folds by a shuffle under `seed`; each fit is sought from `start`.
    """
    groups = sorted({case.group for case in problem.cases})
    count = min(FOLDS, len(groups))
    if count < 2:
        return None
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[index]: place % count for place, index in enumerate(order)}
    folds = np.array([fold_of[case.group] for case in problem.cases])
    errors = np.zeros(len(problem.cases))
    for fold in range(count):
        held = folds == fold
        fit = problem.part(~held).fit(start)
        errors[held] = problem.part(held).log_errors(fit.z)
        tell(f"fold {fold + 1} of {count}: mean error {mape(errors[held]):.3f} on groups left out")
    return errors


def residuals(cases: Sequence[Case], errors: np.ndarray) -> tuple[Residual, ...]:
    """The conformal half-width of every metric and regime. errors: `left_out_errors`."""
    made = []
    for (metric, regime), places in sorted(_places(cases, residual_key).items()):
        width, groups = half_width(errors[places], [cases[place].group for place in places])
        rounded, enough = round(width, _DIGITS), groups >= GROUPS_FOR_COVERAGE
        made.append(Residual(metric=metric, regime=regime, groups=groups, half_width=rounded, enough=enough))
    return tuple(made)


def left_out_summaries(cases: Sequence[Case], errors: np.ndarray, seed: int) -> tuple[LeftOut, ...]:
    """Errors and coverage of every metric and regime of every kind of table. errors: `left_out_errors`."""
    keyed = _places(cases, lambda case: (case.kind, case.metric, residual_key(case)[1]))
    return tuple(
        _summary(*key, errors[places], [cases[place].group for place in places], seed)
        for key, places in sorted(keyed.items())
    )


def _summary(table: str, metric: str, regime: str, errors: np.ndarray, groups: list[str], seed: int) -> LeftOut:
    size, covered = np.abs(np.expm1(errors)), _covered(errors, groups)
    mape_low, mape_high = bootstrap(size, groups, seed)
    coverage_low, coverage_high = (None, None) if covered is None else bootstrap(covered, groups, seed)
    return LeftOut(
        table=table,
        metric=metric,
        regime=regime,
        figures=len(errors),
        groups=len(set(groups)),
        mape=round(float(size.mean()), _DIGITS),
        mape_low=mape_low,
        mape_high=mape_high,
        coverage=None if covered is None else round(float(covered.mean()), _DIGITS),
        coverage_low=coverage_low,
        coverage_high=coverage_high,
    )


def _covered(errors: np.ndarray, groups: list[str]) -> np.ndarray | None:
    """1 where an error is within the half-width that the other groups give, else 0; None with a single group."""
    names = np.array(groups)
    if len(set(groups)) < 2:
        return None
    covered = np.zeros(len(errors))
    for name in sorted(set(groups)):
        own = names == name
        width, _ = half_width(errors[~own], names[~own].tolist())
        covered[own] = np.abs(errors[own]) <= width
    return covered


def bootstrap(values: np.ndarray, groups: Sequence[str], seed: int) -> tuple[float | None, float | None]:
    """90 % bounds of the mean of `values` when whole groups are drawn again; None with a single group."""
    names = sorted(set(groups))
    if len(names) < 2:
        return None, None
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place[group] for group in groups])
    sums, counts = np.bincount(index, values, len(names)), np.bincount(index, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(_RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1.0 - RANGE_COVERAGE) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return round(float(low), _DIGITS), round(float(high), _DIGITS)


def _places(cases: Sequence[Case], key: Callable[[Case], Key]) -> dict[Key, list[int]]:
    """Places of the cases of each key."""
    found: dict[Key, list[int]] = defaultdict(list)
    for place, case in enumerate(cases):
        found[key(case)].append(place)
    return found
