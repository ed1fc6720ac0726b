"""What measuring tells of a claim: the expected fall of the entropy of "the claim holds".

The logarithm of the claimed figure is taken as a sum of independent normal parts, one for each uncertain number and one
that nothing explains. To measure a number is to learn its part (Lindley 1956, "On a measure of the information provided
by an experiment", Annals of Mathematical Statistics 27(4)).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri, xlogy

_POINTS = 32
"""Of the Gauss-Hermite quadrature."""
WELL = 0.9
"""Share of what a measurement may give that is less favourable than one that turns out well."""
_RESOLVED = 5e-4
"""Probability next to 0 or 1 that draws do not tell from it."""


def margin_of(probability: float, whole_sd: float) -> float:
    """The margin of the logarithm, of that standard deviation, at which a claim holds with that probability."""
    return whole_sd * float(ndtri(min(max(probability, _RESOLVED), 1.0 - _RESOLVED)))


def after(margin: float, part_sd: float, rest_sd: float, share: float) -> float:
    """The probability of the claim once a part is measured and lies at that quantile of what it may be."""
    left = margin + part_sd * float(ndtri(share))
    return float(ndtr(left / rest_sd)) if rest_sd > 0.0 else float(left >= 0.0)


def gain_bits(margin: float, part_sd: float, rest_sd: float) -> float:
    """Bits expected from learning one part.

    margin: of the logarithm, by which the prediction is better than the claim; part_sd, rest_sd: standard deviations of
    that part and of all others together.
    """
    whole = math.hypot(part_sd, rest_sd)
    if whole == 0.0 or part_sd == 0.0:
        return 0.0
    before = float(_entropy_bits(ndtr(np.array(margin / whole))))
    if rest_sd == 0.0:
        return before
    points, weights = np.polynomial.hermite_e.hermegauss(_POINTS)
    after = _entropy_bits(ndtr((margin + part_sd * points) / rest_sd))
    return max(0.0, before - float(weights @ after / weights.sum()))


def _entropy_bits(probability: np.ndarray) -> np.ndarray:
    """Of an event, float64 of the same shape."""
    parts = xlogy(probability, probability) + xlogy(1.0 - probability, 1.0 - probability)
    return np.asarray(-parts / math.log(2.0))
