"""Half-widths of what a posterior leaves unexplained, from errors of groups that a fit had not seen.

An interval is a range of sets {|error| <= hypot(z spread, width)} that grows with `width`: the spread is that of the
posterior draws, and the least width that holds a figure is its score, so that what the draws explain is not counted
again (nested conformal prediction: Gupta, Kuchibhotla, Ramdas 2022, Pattern Recognition 127).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import halfnorm, norm

from npusim.evidence.calibration.posterior import DISCREPANCY
from npusim.hardware.draws import RANGE_COVERAGE

GROUPS_FOR_COVERAGE = next(count for count in itertools.count(1) if math.ceil((count + 1) * RANGE_COVERAGE) <= count)
TAIL_Z = float(norm.ppf(0.5 + RANGE_COVERAGE / 2.0))
_PRIOR = halfnorm.ppf((np.arange(100) + 0.5) / 100.0, scale=DISCREPANCY)


def scores(errors: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """The least width that holds each log error beside the 90 % range of its posterior spread."""
    return np.sqrt(np.maximum(errors**2 - (TAIL_Z * spreads) ** 2, 0.0))


def conformal_half_width(scores: np.ndarray, groups: Sequence[str]) -> tuple[float, int]:
    """(half-width, groups): what holds 90 % of a new group's scores.

    The groups have equal shares of the whole, the figures of a group equal shares of the group, and one share more
    belongs to the group that is to come (Lee, Barber, Willett 2023, "Distribution-free inference with hierarchical
    data", arXiv 2306.06342): at infinity, which makes the coverage certain from nine groups on; with fewer at what was
    believed before, a normal error of deviation DISCREPANCY.
    """
    names = np.array(groups)
    distinct = sorted(set(groups))
    count = len(distinct)
    share = 1.0 / (count + 1.0)
    weights = np.zeros(len(scores))
    for name in distinct:
        own = names == name
        weights[own] = share / own.sum()
    unseen = np.full(1, np.inf) if count >= GROUPS_FOR_COVERAGE else _PRIOR
    values = np.concatenate([scores, unseen])
    order = np.argsort(values, kind="stable")
    held = np.cumsum(np.concatenate([weights, np.full(len(unseen), share / len(unseen))])[order])
    return float(values[order][np.searchsorted(held, RANGE_COVERAGE * (1.0 - np.finfo(float).eps * len(held)))]), count
