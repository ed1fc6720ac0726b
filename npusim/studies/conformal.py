"""Split-conformal half-widths of log errors, with whole groups left out: rows of a run are not exchangeable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from npusim.hardware.draws import RANGE_COVERAGE

GROUPS_FOR_COVERAGE = next(count for count in itertools.count(1) if math.ceil((count + 1) * RANGE_COVERAGE) <= count)


def half_width(errors: np.ndarray, groups: Sequence[str]) -> tuple[float, int]:
    """(half-width, groups): what 90 % of a new group's |log errors| stay within.

    Every group counts once: a group's score is the 90 % quantile of its own |errors|; the half-width is the
    conformal quantile ceil((n + 1) 0.9) / n of the groups' scores (Vovk 2005; Dunn, Wasserman, Ramdas 2023,
    "Distribution-Free Prediction Sets for Two-Layer Hierarchical Models", JASA). With fewer than nine groups it is
    their largest score.
    """
    magnitude = np.abs(errors)
    names = np.array(groups)
    scores = np.sort([np.quantile(magnitude[names == name], RANGE_COVERAGE) for name in sorted(set(groups))])
    count = len(scores)
    place = math.ceil((count + 1) * RANGE_COVERAGE) - 1
    return float(scores[min(place, count - 1)]), count
