"""Uncertainties of repeats and decisions with guard bands, against closed forms and tables of the standards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from npusim.bounds.reading import Reading
from npusim.lab.certify.acceptance import guarded
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, overall
from npusim.lab.repeatability import Pooled, Repeated, of_mean, of_median, pooled


def exact(*values: float) -> Repeated:
    return Repeated(tuple(map(Reading.exact, values)))


def test_a_mean_has_the_uncertainty_of_its_repeats_and_its_instrument() -> None:
    repeated = exact(99.0, 100.0, 101.0)
    assert of_mean(repeated, 0.0) == pytest.approx(1.0 / math.sqrt(3.0))
    assert of_mean(repeated, 0.02) == pytest.approx(math.hypot(1.0 / math.sqrt(3.0), 2.0))
    assert of_mean(exact(100.0), 0.02) is None


def test_printed_digits_leave_a_rectangular_doubt() -> None:
    rounded = Repeated((Reading.printed("100"),) * 3)
    assert of_mean(rounded, 0.0) == pytest.approx(1.0 / math.sqrt(12.0))


def test_few_repeats_have_the_coverage_of_student() -> None:
    """Three repeats alone: two degrees of freedom, t of 95.45 % is 4.527 (JCGM 100:2008, table G.2)."""
    repeated = exact(99.0, 100.0, 101.0)
    found = of_median(repeated, pooled([repeated]), 0.0, 2.0)
    assert found is not None and found.k == pytest.approx(4.527, abs=2e-3)
    assert found.standard == pytest.approx(math.sqrt(math.pi / 2.0) / math.sqrt(3.0), rel=1e-9)


def test_pooling_joins_relative_variances() -> None:
    """Four cells of three runs at 1 % and 3 %: root mean square, eight degrees of freedom."""
    calm, wild = exact(99.0, 100.0, 101.0), exact(970.0, 1000.0, 1030.0)
    assert pooled([calm, calm, wild, wild, exact(5.0)]) == Pooled(pytest.approx(math.sqrt((1 + 9) / 2) / 100), 8)
    assert pooled([exact(5.0)]) is None


def test_a_dominant_instrument_has_many_degrees_of_freedom() -> None:
    repeated = exact(99.99, 100.0, 100.01)
    found = of_median(repeated, pooled([repeated]), 0.02, 2.0)
    assert found is not None and found.k == pytest.approx(2.0, abs=1e-6)


@given(st.floats(0.1, 1e6), st.floats(1e-6, 0.2), st.floats(0.5, 2.0), st.booleans())
def test_a_decision_needs_the_guard_band(limit: float, part: float, ratio: float, least: bool) -> None:
    measured, band = ratio * limit, part * limit
    verdict = guarded(measured, band, limit, at_least=least)
    inside = measured - limit if least else limit - measured
    assert (verdict == PASS) == (inside >= band)
    assert verdict != FAIL or inside < 0.0
    if abs(inside) < band:
        assert verdict == NOT_DECIDABLE
    wider = guarded(measured, 2.0 * band, limit, at_least=least)
    assert wider in (verdict, NOT_DECIDABLE), "less known never decides more"


def test_guarded_decisions_are_wrong_as_seldom_as_told() -> None:
    """Of submissions exactly at their limit, k = 2 accepts and rejects 2.3 % each (JCGM 106:2012, 8.3.2), whatever
    the number of repeats."""
    rng = np.random.default_rng(3)
    accepted = rejected = 0
    for _ in range(4000):
        repeated = exact(*rng.normal(100.0, 1.0, 3).tolist())
        mean = repeated.mean
        sd = repeated.sd or 0.0
        band = float(t.ppf(0.97725, 2)) * sd / math.sqrt(3.0)
        verdict = guarded(mean, band, 100.0, at_least=True)
        accepted, rejected = accepted + (verdict == PASS), rejected + (verdict == FAIL)
    assert accepted / 4000 == pytest.approx(0.0228, abs=0.008)
    assert rejected / 4000 == pytest.approx(0.0228, abs=0.008)


def test_the_gravest_verdict_counts() -> None:
    assert overall([PASS, NOT_DECIDABLE, FAIL]) == FAIL
    assert overall([PASS, NOT_DECIDABLE]) == NOT_DECIDABLE
    assert overall([PASS]) == PASS
    assert overall([]) == NOT_DECIDABLE
