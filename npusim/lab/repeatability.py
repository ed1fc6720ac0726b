"""Repeats of a figure: median, spread, and the uncertainty of what is reported.

JCGM 100:2008 (GUM): type A from repeats (4.2), type B from instruments (4.3), coverage by the effective degrees of
freedom (G.4). ISO 5725-2:2019, 7.4: repeats of several cells share one repeatability, their relative variances pooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from npusim.bounds.reading import Reading

_OF_MEDIAN = math.sqrt(math.pi / 2.0)
"""Standard deviation of a median over that of a mean, of many normal values; of few it is less."""
_HAVE_MEDIAN = 3
"""Values from which on a median is another than the mean."""


@dataclass(frozen=True)
class Repeated:
    """A figure of a cell, once a run."""

    readings: tuple[Reading, ...]

    @property
    def values(self) -> np.ndarray:
        """(runs,)"""
        return np.array([reading.value for reading in self.readings])

    @property
    def n(self) -> int:
        return len(self.readings)

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Of one run; None of a single one."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None

    @property
    def cv(self) -> float | None:
        """Standard deviation over mean."""
        return None if self.sd is None or self.mean == 0.0 else self.sd / self.mean

    @property
    def rounding(self) -> float:
        """Standard uncertainty that printed digits leave, over the median (JCGM 100:2008, F.2.2.1)."""
        widest = max(reading.high - reading.low for reading in self.readings)
        return widest / math.sqrt(12.0) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Pooled:
    """The relative standard deviation of one run that cells have in common, and its degrees of freedom."""

    cv: float
    freedom: int


def pooled(cells: Iterable[Repeated]) -> Pooled | None:
    """Over all cells of a figure; None where none was repeated."""
    known = [(each.n - 1, each.cv) for each in cells if each.cv is not None]
    freedom = sum(count for count, _ in known)
    if not freedom:
        return None
    return Pooled(math.sqrt(sum(count * cv**2 for count, cv in known) / freedom), freedom)


@dataclass(frozen=True)
class Expanded:
    """standard: uncertainty of what is reported, in its unit; k: coverage factor; both None apart where unknown."""

    standard: float
    k: float

    @property
    def expanded(self) -> float:
        return self.k * self.standard


def of_median(repeated: Repeated, common: Pooled | None, instrument: float, k: float) -> Expanded | None:
    """Of the median of the repeats; None where neither they nor other cells show a spread.

    common: the repeatability of all cells, the greater of which and the cell's own counts; instrument: its relative
    standard uncertainty, which repeats do not lessen; k: for many degrees of freedom.
    """
    if common is None:
        return None
    of_one = max(common.cv, repeated.cv or 0.0)
    factor = _OF_MEDIAN if repeated.n >= _HAVE_MEDIAN else 1.0
    type_a = factor * of_one / math.sqrt(repeated.n)
    whole = math.sqrt(type_a**2 + instrument**2 + repeated.rounding**2)
    return Expanded(whole * repeated.median, _coverage(k, type_a, whole, common.freedom))


def of_mean(repeated: Repeated, instrument: float) -> float | None:
    """Standard uncertainty of the mean of the repeats; None of a single one."""
    if repeated.sd is None:
        return None
    parts = (repeated.sd / math.sqrt(repeated.n), instrument * repeated.mean, repeated.rounding * repeated.median)
    return math.sqrt(sum(part**2 for part in parts))


def _coverage(k: float, type_a: float, whole: float, freedom: int) -> float:
    """k as Student's distribution has it for the effective degrees of freedom (Welch-Satterthwaite, G.4.1)."""
    from scipy.stats import norm, t

    if type_a == 0.0:
        return k
    effective = freedom * (whole / type_a) ** 4
    return float(t.ppf(norm.cdf(k), effective))
