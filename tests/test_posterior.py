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

from npusim.hardware.draws import RangedNumber
from npusim.ledger import Quantity
from npusim.studies.conformal import GROUPS_FOR_COVERAGE, half_width
from npusim.studies.posterior import Fit, maximum_a_posteriori, run_weights, sensitive, value_at

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
        return maximum_a_posteriori(self.log_errors, len(NUMBERS), np.full(size, NOISE), np.ones(size))


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
    assert list(sensitive(bench.log_errors, 4)) == [True, True, True, False]
    slope = np.array([0.9e-3, 1.1e-3])
    assert list(sensitive(lambda z: slope * z, 2)) == [False, True]


def test_a_linear_fit_without_noise_is_the_closed_form() -> None:
    """One coordinate, errors b z of equal deviation s: for small errors the t's maximum is that of a normal with
    5/4 of its information."""
    slopes, deviation, weights = np.array([0.1, 0.2, 0.4]), 0.5, np.array([1.0, 0.5, 0.5])
    offset = 1e-3
    fit = maximum_a_posteriori(lambda z: slopes * z[0] + offset, 1, np.full(3, deviation), weights)
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
        fit = maximum_a_posteriori(_line(slopes, float(truth.sum()), noise), 2, np.full(30, NOISE), np.ones(30))
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
    fit = maximum_a_posteriori(lambda z: z - 100.0, 1, np.full(1, 1e-3), np.ones(1))
    assert abs(fit.z[0]) <= 3.0


def test_the_figures_of_a_run_share_its_weight() -> None:
    weights = run_weights(["a", "b", "a", "a", "c"])
    assert list(weights) == pytest.approx([1 / 3, 1.0, 1 / 3, 1 / 3, 1.0])
    assert len(run_weights([])) == 0
    bench = _bench(np.random.default_rng(5), np.array([1.0, -1.0, 0.5, 0.0]), 20)
    twice = Bench(*(np.repeat(column, 3) for column in (bench.moved, bench.macs, bench.measured)))
    runs = np.repeat([f"run {index}" for index in range(20)], 3).tolist()
    shared = maximum_a_posteriori(twice.log_errors, 4, np.full(60, NOISE), run_weights(runs))
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


def test_half_widths_of_few_groups_are_their_largest_score() -> None:
    assert half_width(np.array([-0.3]), ["a"]) == (0.3, 1)
    assert half_width(np.array([0.1, -0.4, 0.2]), ["a", "b", "c"]) == (0.4, 3)
    errors = np.arange(1.0, 9.0)
    assert half_width(errors, [str(error) for error in errors]) == (8.0, 8)


@pytest.mark.parametrize(("groups", "score"), [(9, 9), (10, 10), (19, 18), (29, 27), (99, 90)])
def test_half_widths_are_the_conformal_quantile(groups: int, score: int) -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, groups + 1.0))
    signs = np.where(np.arange(groups) % 2 == 0, 1.0, -1.0)
    assert half_width(errors * signs, [f"{error:03.0f}" for error in errors]) == (score, groups)


def test_nine_groups_are_enough_for_ninety_percent() -> None:
    assert GROUPS_FOR_COVERAGE == 9


def test_a_group_counts_once_by_its_own_quantile() -> None:
    many = np.concatenate([np.linspace(0.0, 1.0, 11), [0.5]])
    assert half_width(many, ["a"] * 11 + ["b"]) == pytest.approx((0.9, 2))
    assert half_width(many, ["b"] * 11 + ["a"]) == pytest.approx((0.9, 2))


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(-3.0, 3.0)), min_size=1, max_size=60))
def test_half_widths_lie_among_the_errors(figures: list[tuple[str, float]]) -> None:
    errors, groups = np.array([error for _, error in figures]), [group for group, _ in figures]
    width, count = half_width(errors, groups)
    assert count == len(set(groups))
    assert np.abs(errors).min() <= width <= np.abs(errors).max()
    assert half_width(-errors, groups) == (width, count)


@pytest.mark.parametrize("groups", [9, 15, 30])
def test_half_widths_cover_a_new_group(groups: int) -> None:
    """One figure a group: at least 90 % of new ones lie within, and no more than one place above."""
    random = np.random.default_rng(6)
    inside = []
    for _ in range(1000):
        errors = random.standard_t(3, groups + 1)
        width, _ = half_width(errors[:-1], [str(index) for index in range(groups)])
        inside.append(abs(errors[-1]) <= width)
    assert 0.88 <= np.mean(inside) <= 0.92 + 1.0 / (groups + 1)
