"""Statistics of two labs: the score of a pair, repeatability and reproducibility, and a robust common factor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from npusim.lab.repeatability import Repeated

_WINSOR, _RESCALE, _OF_MAD, _OF_ROBUST = 1.5, 1.134, 1.483, 1.25
"""Algorithm A: where values are cut off, in robust standard deviations; what the cut takes off a standard deviation;
standard deviation over median absolute deviation; uncertainty of the robust mean over s*/sqrt(p) (ISO 13528:2022, C.3
and 7.7)."""
_SETTLED, _MOST_ROUNDS = 1e-9, 200
"""Relative change at which the algorithm ends, and rounds after which it does in any case."""
_TWO_SIDED = 0.975
"""Quantile of Student's distribution of a 95 % interval."""


def en_score(one: float, other: float, expanded_one: float, expanded_other: float) -> float | None:
    """|x_a - x_b| / sqrt(U_a^2 + U_b^2), at most 1 where the labs agree (ISO/IEC 17043:2023, B.4.1.1 e; ISO 13528:2022,
    9.7); None where neither has an uncertainty."""
    both = math.hypot(expanded_one, expanded_other)
    return abs(one - other) / both if both else None


@dataclass(frozen=True)
class LabPrecision:
    """s_r, s_R: standard deviations of repeatability and reproducibility, in the unit of the figure."""

    repeatability: float
    reproducibility: float


def precision_of(labs: Sequence[Repeated]) -> LabPrecision | None:
    """One-way analysis of variance over labs of unlike numbers of repeats (ISO 5725-2:2019, 7.4.5); a variance between
    labs below zero counts as zero. None where no lab repeated the cell."""
    counts = np.array([each.n for each in labs], dtype=float)
    freedom = counts.sum() - len(labs)
    if freedom <= 0:
        return None
    within = sum((each.n - 1) * (each.sd or 0.0) ** 2 for each in labs) / freedom
    means = np.array([each.mean for each in labs])
    whole = float((counts * means).sum() / counts.sum())
    between = float((counts * (means - whole) ** 2).sum() / (len(labs) - 1))
    typical = float((counts.sum() - (counts**2).sum() / counts.sum()) / (len(labs) - 1))
    of_labs = max(0.0, (between - within) / typical)
    return LabPrecision(math.sqrt(within), math.sqrt(within + of_labs))


@dataclass(frozen=True)
class LabFactor:
    """What one lab's figures are over the other's: a robust mean and its 95 % interval, None where it has none."""

    value: float
    low: float | None
    high: float | None
    cells: int


def common_factor(ratios: Sequence[float], relative: Sequence[float | None]) -> LabFactor | None:
    """The factor that ratios have in common; relative: standard uncertainty of each ratio, None where not known.

    Location and spread of the logarithms by Algorithm A (ISO 13528:2022, C.3); the uncertainty is that of the robust
    mean, or what the ratios' own leave of their mean where that is more. None without a ratio.
    """
    if not ratios:
        return None
    logs = np.log(np.array(ratios))
    middle, spread = algorithm_a(logs)
    count = len(logs)
    known = [each for each in relative if each is not None]
    of_own = math.sqrt(sum(each**2 for each in known)) / len(known) if len(known) == count else None
    value = math.exp(middle)
    if count == 1:
        if of_own is None:
            return LabFactor(value, None, None, count)
        far = _OF_NORMAL * of_own
    else:
        standard = max(_OF_ROBUST * spread / math.sqrt(count), of_own or 0.0)
        far = float(t.ppf(_TWO_SIDED, count - 1)) * standard
    return LabFactor(value, math.exp(middle - far), math.exp(middle + far), count)


_OF_NORMAL = 2.0
"""Coverage factor of a single ratio (JCGM 100:2008, 6.3.3)."""


def algorithm_a(values: np.ndarray) -> tuple[float, float]:
    """Robust mean and standard deviation of values (p,) (ISO 13528:2022, C.3)."""
    middle = float(np.median(values))
    spread = _OF_MAD * float(np.median(np.abs(values - middle)))
    for _ in range(_MOST_ROUNDS):
        far = _WINSOR * spread
        cut = np.clip(values, middle - far, middle + far)
        again = float(cut.mean()), _RESCALE * float(np.std(cut, ddof=1)) if len(cut) > 1 else 0.0
        settled = abs(again[0] - middle) + abs(again[1] - spread) <= _SETTLED * (abs(middle) + spread)
        middle, spread = again
        if settled or spread == 0.0:
            break
    return middle, spread
