"""Fits of ranged numbers: known truths come back with the right doubt, noise teaches nothing, half-widths cover."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from npusim.evidence.calibration.conformal import GROUPS_FOR_COVERAGE, conformal_half_width, scores
from npusim.evidence.calibration.posterior import (
    DISCREPANCY,
    Fit,
    LogErrors,
    difference_slopes,
    laplace,
    maximum_a_posteriori,
    run_weights,
    sensitive,
    value_at,
)
from npusim.hardware.draws import RangedNumber
from npusim.ledger import Quantity

TAIL = float(norm.ppf(0.95))
NOISE = 0.05
REPEATS = 100


def _number(name: str, value: float, low: float, high: float, unit: str = "s") -> RangedNumber:
    quantity = Quantity(value=value, unit=unit, kind="assumed", source="a test", low=low, high=high, text=str(value))
    return RangedNumber("chip", name, None, quantity, name)


LAUNCH = _number("launch", 3e-6, 1e-6, 8e-6)
BANDWIDTH = _number("bandwidth", 4e12, 3e12, 5e12, "B/s")
EFFICIENCY = _number("efficiency", 0.7, 0.5, 0.85, "")
UNUSED = _number("unused", 1.0, 0.5, 2.0)
NUMBERS = (LAUNCH, BANDWIDTH, EFFICIENCY, UNUSED)


@dataclass(frozen=True)
class Bench:
    """Kernels of a chip with a launch time, a bandwidth and an efficiency, timed with noise; times in seconds."""

    moved: np.ndarray
    macs: np.ndarray
    measured: np.ndarray

    def log_errors(self, z: np.ndarray) -> np.ndarray:
        return np.log(_times(self.moved, self.macs, z) / self.measured)

    def part(self, which: np.ndarray) -> Bench:
        return Bench(self.moved[which], self.macs[which], self.measured[which])

    def fit(self) -> Fit:
        size = len(self.measured)
        return _fit(self.log_errors, len(NUMBERS), np.full(size, NOISE), np.ones(size))


def _fit(errors: LogErrors, size: int, deviations: np.ndarray, weights: np.ndarray) -> Fit:
    """From the priors' centre, with slopes taken twice."""
    z = np.zeros(size)
    for _ in range(2):
        z = maximum_a_posteriori(errors, difference_slopes(errors, z), deviations, weights, z).z
    return laplace(z, difference_slopes(errors, z), deviations, weights)


def _times(moved: np.ndarray, macs: np.ndarray, z: np.ndarray) -> np.ndarray:
    launch, bandwidth, efficiency, _ = (value_at(number, at) for number, at in zip(NUMBERS, z, strict=True))
    times: np.ndarray = launch + np.maximum(moved / bandwidth, macs / (5e14 * efficiency))
    return times


def _bench(random: np.random.Generator, truth: np.ndarray, figures: int = 60) -> Bench:
    moved, macs = 10 ** random.uniform(6, 9, figures), 10 ** random.uniform(8, 11.5, figures)
    noise = NOISE * random.standard_t(4, figures)
    return Bench(moved, macs, _times(moved, macs, truth) * np.exp(-noise))


def test_a_coordinate_is_a_quantile_of_the_range() -> None:
    assert value_at(LAUNCH, 0.0) == pytest.approx(3e-6)
    assert value_at(LAUNCH, -TAIL) == pytest.approx(1e-6)
    assert value_at(LAUNCH, TAIL) == pytest.approx(8e-6)
    assert value_at(EFFICIENCY, 9.0) == value_at(EFFICIENCY, 3.0) <= 1.0


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (1.0, -1.0, 0.5), (-1.3, 0.7, -1.1)])
def test_known_coordinates_come_back(truth: tuple[float, ...]) -> None:
    known = np.array([*truth, 0.0])
    fit = _bench(np.random.default_rng(1), known, 300).fit()
    assert fit.z == pytest.approx(known, abs=0.15)
    assert (fit.sd[:3] < 0.1).all()
    assert (np.abs(fit.z - known)[:3] < 4.0 * fit.sd[:3]).all()


def test_a_number_that_moves_nothing_stays_as_it_was() -> None:
    fit = _bench(np.random.default_rng(1), np.array([1.0, -1.0, 0.5, 0.0])).fit()
    assert (fit.z[3], fit.sd[3]) == pytest.approx((0.0, 1.0))
    assert fit.covariance[3, :3] == pytest.approx(np.zeros(3), abs=1e-12)


def test_numbers_that_move_figures_are_found() -> None:
    bench = _bench(np.random.default_rng(1), np.zeros(4))
    slopes = difference_slopes(bench.log_errors, np.zeros(4))
    assert list(sensitive(slopes, np.full(60, NOISE), np.ones(60))) == [True, True, True, False]
    faint = np.array([[0.09, 0.11]]) * math.sqrt(7.0 / 5.0)
    assert list(sensitive(faint, np.ones(1), np.ones(1))) == [False, True]
    assert list(sensitive(faint, np.ones(1), np.full(1, 0.5))) == [False, False]


def test_a_linear_fit_without_noise_is_the_closed_form() -> None:
    """One coordinate, errors b z of equal deviation s: for small errors the t's maximum is that of a normal with
    5/4 of its information."""
    slopes, deviation, weights = np.array([0.1, 0.2, 0.4]), 0.5, np.array([1.0, 0.5, 0.5])
    offset = 1e-3
    fit = _fit(lambda z: slopes * z[0] + offset, 1, np.full(3, deviation), weights)
    information = float((weights * slopes**2).sum()) / deviation**2
    assert fit.z[0] == pytest.approx(
        -1.25 * float((weights * slopes).sum()) * offset / deviation**2 / (1.0 + 1.25 * information), rel=1e-3
    )
    assert fit.covariance[0, 0] == pytest.approx(1.0 / (1.0 + 5.0 / 7.0 * information), rel=1e-9)


def test_the_posterior_covers_the_truth() -> None:
    """Truths drawn from the prior, errors from the likelihood: 90 % intervals hold 90 % of them, within chance."""
    random = np.random.default_rng(2)
    inside = []
    for _ in range(REPEATS):
        truth = np.append(np.clip(random.normal(size=3), -2.4, 2.4), 0.0)
        fit = _bench(random, truth, 40).fit()
        inside += list((np.abs(fit.z - truth) < TAIL * fit.sd)[:3])
    assert 0.84 <= np.mean(inside) <= 0.96


def test_correlated_doubts_cover_together() -> None:
    """Two numbers that only their sum shows: each stays in doubt, their sum does not."""
    random = np.random.default_rng(3)
    inside = []
    for _ in range(REPEATS):
        truth, slopes = random.normal(size=2), random.uniform(0.1, 0.3, 30)
        noise = NOISE * random.standard_t(4, 30)
        fit = _fit(_line(slopes, float(truth.sum()), noise), 2, np.full(30, NOISE), np.ones(30))
        assert fit.covariance[0, 1] / np.prod(fit.sd) < -0.9
        assert (fit.sd > 0.6).all()
        spread = math.sqrt(float(fit.covariance.sum()))
        assert spread < 0.15
        inside.append(abs(float((fit.z - truth).sum())) < TAIL * spread)
    assert 0.82 <= np.mean(inside) <= 0.97


def _line(slopes: np.ndarray, total: float, noise: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda z: slopes * (z.sum() - total) + noise


def test_one_wrong_figure_moves_little() -> None:
    truth = np.array([0.5, -0.5, 0.5, 0.0])
    bench = _bench(np.random.default_rng(4), truth)
    measured = bench.measured.copy()
    measured[7] *= 20.0
    before, after = bench.fit(), Bench(bench.moved, bench.macs, measured).fit()
    assert np.abs(after.z - before.z).max() < 0.1


def test_a_coordinate_stays_in_reach() -> None:
    fit = _fit(lambda z: z - 100.0, 1, np.full(1, 1e-3), np.ones(1))
    assert abs(fit.z[0]) <= 3.0


def test_the_figures_of_a_run_share_its_weight() -> None:
    weights = run_weights(["a", "b", "a", "a", "c"])
    assert list(weights) == pytest.approx([1 / 3, 1.0, 1 / 3, 1 / 3, 1.0])
    assert len(run_weights([])) == 0
    bench = _bench(np.random.default_rng(5), np.array([1.0, -1.0, 0.5, 0.0]), 20)
    twice = Bench(*(np.repeat(column, 3) for column in (bench.moved, bench.macs, bench.measured)))
    runs = np.repeat([f"run {index}" for index in range(20)], 3).tolist()
    shared = _fit(twice.log_errors, 4, np.full(60, NOISE), run_weights(runs))
    assert shared.z == pytest.approx(bench.fit().z, abs=1e-3)
    assert shared.covariance == pytest.approx(bench.fit().covariance, abs=1e-4)


def _left_out(bench: Bench, folds: int = 5) -> float:
    """Median |log error| of figures under fits that have not seen them."""
    errors = np.zeros(len(bench.measured))
    fold = np.arange(len(errors)) % folds
    for held in range(folds):
        fit = bench.part(fold != held).fit()
        errors[fold == held] = bench.part(fold == held).log_errors(fit.z)
    return float(np.median(np.abs(errors)))


def _prior(bench: Bench) -> float:
    return float(np.median(np.abs(bench.log_errors(np.zeros(len(NUMBERS))))))


@pytest.mark.parametrize("seed", range(5))
def test_a_fit_helps_on_figures_that_it_has_not_seen(seed: int) -> None:
    bench = _bench(np.random.default_rng(seed), np.array([1.2, -1.2, -1.0, 0.0]))
    assert _left_out(bench) < 0.5 * _prior(bench)
    assert _left_out(bench) < 2.0 * NOISE


def test_shuffled_figures_do_not_calibrate() -> None:
    """Each kernel with the surprise of another: what they have in common, their median, would be a thing to learn."""
    ratios = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        bench = _bench(random, np.array([1.2, -1.2, -1.0, 0.0]))
        surprise = -bench.log_errors(np.zeros(4))
        expected = _times(bench.moved, bench.macs, np.zeros(4))
        shuffled = Bench(bench.moved, bench.macs, expected * np.exp(random.permutation(surprise) - np.median(surprise)))
        ratios.append(_left_out(shuffled) / _prior(shuffled))
    assert np.mean(ratios) > 0.98
    assert min(ratios) > 0.8


def _names(count: int) -> list[str]:
    return [f"{index:03d}" for index in range(count)]


def test_scores_are_what_the_spread_leaves() -> None:
    errors, spreads = np.array([0.1, -0.5, 0.3]), np.array([0.1, 0.0, 0.1])
    found = scores(errors, spreads)
    assert found == pytest.approx([0.0, 0.5, math.sqrt(0.09 - (0.1 * TAIL) ** 2)])
    assert np.hypot(TAIL * spreads, found)[1:] == pytest.approx(np.abs(errors)[1:])


@pytest.mark.parametrize(("groups", "score"), [(9, 9), (10, 10), (19, 18), (29, 27), (99, 90)])
def test_half_widths_of_single_figures_are_the_conformal_quantile(groups: int, score: int) -> None:
    found = np.random.default_rng(0).permutation(np.arange(1.0, groups + 1.0))
    assert conformal_half_width(found, _names(groups)) == (score, groups)


def test_nine_groups_are_enough_for_ninety_percent() -> None:
    assert GROUPS_FOR_COVERAGE == 9


def test_without_groups_the_prior_speaks_and_few_groups_join_it() -> None:
    width, groups = conformal_half_width(np.zeros(0), [])
    assert (width, groups) == (pytest.approx(DISCREPANCY * TAIL, rel=0.02), 0)
    alone, _ = conformal_half_width(np.full(50, 0.2), ["a"] * 50)
    many, _ = conformal_half_width(np.full(400, 0.2), [str(index % 8) for index in range(400)])
    assert alone == many == 0.2
    calm, _ = conformal_half_width(np.zeros(400), [str(index % 8) for index in range(400)])
    assert 0.0 < calm < width


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0.0, 3.0)), min_size=1, max_size=60))
def test_a_group_counts_once_however_often_it_was_measured(figures: list[tuple[str, float]]) -> None:
    found, groups = np.array([score for _, score in figures]), [group for group, _ in figures]
    width, count = conformal_half_width(found, groups)
    assert count == len(set(groups))
    assert 0.0 <= width <= max(found.max(), 3.0 * DISCREPANCY)
    again = [*groups, *(group for group in groups if group == "a")]
    assert conformal_half_width(np.append(found, found[np.array(groups) == "a"]), again) == (
        pytest.approx(width),
        count,
    )


@pytest.mark.parametrize("groups", [9, 15, 30])
def test_intervals_cover_the_figures_of_a_new_group(groups: int) -> None:
    """Groups of unequal size share an offset; each figure has a known spread that its draws explain."""
    random = np.random.default_rng(6)
    inside = []
    for _ in range(600):
        errors, spreads, names = _grouped_errors(random, groups + 1)
        old = names != groups
        width, _ = conformal_half_width(scores(errors[old], spreads[old]), names[old].astype(str).tolist())
        half = np.hypot(TAIL * spreads[~old], width)
        inside.append(np.mean(np.abs(errors[~old]) <= half))
    assert 0.88 <= np.mean(inside) <= 0.92 + 1.0 / (groups + 1)


def test_a_spread_that_explains_all_needs_no_width() -> None:
    random = np.random.default_rng(7)
    spreads = random.uniform(0.02, 0.3, 2000)
    errors = random.normal(0.0, spreads)
    width, _ = conformal_half_width(scores(errors, spreads), _names(2000))
    assert width < 0.02
    assert 0.88 <= np.mean(np.abs(errors) <= np.hypot(TAIL * spreads, width)) <= 0.92


def _grouped_errors(random: np.random.Generator, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = random.integers(1, 30, groups)
    names = np.repeat(np.arange(groups), sizes)
    spreads = random.uniform(0.01, 0.08, len(names))
    offsets = random.normal(0.0, 0.06, groups)[names]
    return offsets + random.normal(0.0, np.hypot(spreads, 0.03)), spreads, names
