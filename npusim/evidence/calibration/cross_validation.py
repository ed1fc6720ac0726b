"""Errors of groups of runs under fits that have not seen them, and what they say of unseen runs.

Groups, not rows, are held out: the figures of a run, and the runs of one lab or model, share their errors.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from npusim.errors import UserError
from npusim.evidence.calibration.conformal import GROUPS_FOR_COVERAGE, TAIL_Z, conformal_half_width, scores
from npusim.evidence.calibration.posterior import Fit
from npusim.evidence.calibration.problem import Problem
from npusim.evidence.measured.case import Case
from npusim.evidence.measured.regime import residual_key
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.hardware.residuals import MOST_HALF_WIDTH, LeftOut, Residual
from npusim.metric_names import metric as table_row
from npusim.metrics import METRICS
from npusim.words import Tell

GROUP, MODEL, CHIP = "group", "model", "chip"
KEYS: dict[str, Callable[[Case], str]] = {
    GROUP: lambda case: case.group,
    MODEL: lambda case: case.model,
    CHIP: lambda case: case.predictor.arch,
}
"""What can be held out: a group of runs, all that was measured of one model, all of one chip."""
FOLDS = 5
_OF_TOKENS = frozenset(
    row.quantity
    for row in METRICS
    if row.error_from == ("output_tokens_per_s",)
    or (row.follows and row.follows.estimate in ("decode_ms", "output_tokens_per_s") and not row.inverse_of)
)
"""What the time of a token decides: published throughputs on RNGD are off as the ITL of the same run is (a correlation
of -0.9 over 22 runs), and runs draw both from one error."""
_RESAMPLES = 1000
_DIGITS = 4
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Unseen:
    """Cases under fits that have not seen what they share with others.

    by: of KEYS; names: what each case belongs to; errors: log(predicted / measured); spreads: posterior standard
    deviations of the logarithms of the predictions. All (cases,).
    """

    by: str
    names: np.ndarray
    errors: np.ndarray
    spreads: np.ndarray


def mape(log_errors: np.ndarray) -> float:
    """Mean |predicted / measured - 1|."""
    return float(np.mean(np.abs(np.expm1(log_errors))))


def leave_out(problem: Problem, fit: Fit, by: str, tell: Tell) -> Unseen | None:
    """Every case under a fit that has not seen its group, model or chip; None where there is but one.

    fit: to all cases, from which the others are sought. Groups go to folds in turn by their names, so that those of one
    model or kernel, whose names begin with the same words, are held out one at a time.
    """
    names = np.array([KEYS[by](case) for case in problem.cases])
    distinct = sorted(set(names.tolist()))
    count = min(FOLDS, len(distinct))
    if count < 2:
        return None
    fold_of = {name: position % count for position, name in enumerate(distinct)}
    folds = np.array([fold_of[name] for name in names])
    errors, spreads = np.zeros(len(names)), np.zeros(len(names))
    for fold in range(count):
        held = folds == fold
        other = problem.part(~held).refit(fit.z, fit.slopes[~held])
        errors[held] = problem.part(held).log_errors(other.z)
        spreads[held] = other.spread(fit.slopes[held])
        tell(f"by {by}, fold {fold + 1} of {count}: mean error {mape(errors[held]):.3f} on what was held out")
    return Unseen(by, names, errors, spreads)


def residuals(cases: Sequence[Case], unseen: Unseen) -> tuple[Residual, ...]:
    """The half-width of every metric and regime that the posterior leaves unexplained.

    Figures of one kind in a regime have the width of all of them. Raises UserError where runs that the fit has not seen
    are too far off to be predicted at all.
    """
    made = []
    found = scores(unseen.errors, unseen.spreads)
    alike = _positions(cases, _kind)
    for (metric, regime), own in sorted(_positions(cases, residual_key).items()):
        positions = alike[_kind(cases[own[0]])]
        width, groups = conformal_half_width(found[positions], unseen.names[positions].tolist())
        if width > MOST_HALF_WIDTH:
            told = f"runs that the fit has not seen ({regime}) are more than {math.exp(MOST_HALF_WIDTH):.0f} times off"
            raise UserError("the tables", metric, f"{told}; check their units and the architecture that they name")
        rounded, enough = round(width, _DIGITS), groups >= GROUPS_FOR_COVERAGE
        made.append(Residual(metric=metric, regime=regime, groups=groups, half_width=rounded, enough=enough))
    return tuple(made)


def _kind(case: Case) -> tuple[str, str]:
    """What a case's figure is a statistic of, or is decided by, and its regime."""
    metric, regime = residual_key(case)
    row = table_row(metric)
    name = row.quantity if row else metric
    return ("time of a token" if name in _OF_TOKENS else name), regime


def left_out_summaries(cases: Sequence[Case], unseen: Unseen, seed: int) -> tuple[LeftOut, ...]:
    """Errors, coverage and width of every metric and regime of every kind of table."""
    half = np.zeros(len(cases))
    for alike in _positions(cases, _kind).values():
        half[alike] = _half_widths(unseen.names[alike], unseen.errors[alike], unseen.spreads[alike])
    keyed = _positions(cases, lambda case: (case.kind, case.metric, residual_key(case)[1]))
    return tuple(
        _summary(unseen.by, *key, unseen.names[positions], unseen.errors[positions], half[positions], seed)
        for key, positions in sorted(keyed.items())
    )


def _summary(
    by: str, table: str, metric: str, regime: str, names: np.ndarray, errors: np.ndarray, half: np.ndarray, seed: int
) -> LeftOut:
    parts: dict[str, float | None] = {}
    for name, values in (
        ("mape", np.abs(np.expm1(errors))),
        ("coverage", (np.abs(errors) <= half).astype(float)),
        ("width", np.exp(half) - np.exp(-half)),
    ):
        low, high = bootstrap(values, names.tolist(), seed)
        parts |= {name: round(float(values.mean()), _DIGITS), f"{name}_low": low, f"{name}_high": high}
    groups = len(set(names.tolist()))
    described = {"unseen": by, "table": table, "metric": metric, "regime": regime}
    return LeftOut.model_validate({**described, "figures": len(errors), "groups": groups, **parts})


def _half_widths(names: np.ndarray, errors: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Half-width of each case's interval, of its own spread and what the other groups leave unexplained."""
    found, widths = scores(errors, spreads), np.zeros(len(errors))
    for name in sorted(set(names.tolist())):
        own = names == name
        widths[own], _ = conformal_half_width(found[~own], names[~own].tolist())
    return np.hypot(TAIL_Z * spreads, widths)


def bootstrap(values: np.ndarray, groups: Sequence[str], seed: int) -> tuple[float | None, float | None]:
    """90 % bounds of the mean of `values` when whole groups are drawn again; None with a single group."""
    names = sorted(set(groups))
    if len(names) < 2:
        return None, None
    position = {name: index for index, name in enumerate(names)}
    index = np.array([position[group] for group in groups])
    sums, counts = np.bincount(index, values, len(names)), np.bincount(index, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(_RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1.0 - RANGE_COVERAGE) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return round(float(low), _DIGITS), round(float(high), _DIGITS)


def _positions(cases: Sequence[Case], key: Callable[[Case], _Key]) -> dict[_Key, list[int]]:
    """Positions of the cases of each key."""
    found: dict[_Key, list[int]] = defaultdict(list)
    for position, case in enumerate(cases):
        found[key(case)].append(position)
    return found
