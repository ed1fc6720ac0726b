"""Decisions from draws: they do not turn with the seed, and say so where draws cannot decide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.serving.decision import ERROR, MOST_DRAWS, Decision, decide, mean_bounds

THRESHOLDS, ANSWERS = (0.1, 0.9), ("reject", "conditional", "accept")
SEEDS = range(20)
BATCH = 32
Drawn = Callable[[np.random.Generator, float], np.ndarray]


def _either(generator: np.random.Generator, p: float) -> np.ndarray:
    return (generator.random(BATCH) < p).astype(float)


def _smooth(generator: np.random.Generator, p: float) -> np.ndarray:
    return generator.beta(8.0 * p, 8.0 * (1.0 - p), BATCH)


def _decided(drawn: Drawn, p: float, seed: int, most: int = MOST_DRAWS) -> Decision:
    generator = np.random.default_rng(seed)
    return decide(lambda _: drawn(generator, p), THRESHOLDS, ANSWERS, most=most)


def _right(p: float) -> str:
    return ANSWERS[sum(p >= threshold for threshold in THRESHOLDS)]


@pytest.mark.parametrize("drawn", [_either, _smooth], ids=["yes or no", "parts"])
@pytest.mark.parametrize("p", [0.005, 0.05, 0.08, 0.099, 0.101, 0.13, 0.5, 0.8, 0.88, 0.899, 0.901, 0.95, 0.995])
def test_no_seed_decides_for_what_is_not_so(drawn: Drawn, p: float) -> None:
    for seed in SEEDS:
        found = _decided(drawn, p, seed)
        assert _right(p) in found.answers, seed
        assert found.decided or found.draws >= MOST_DRAWS
        assert found.low <= found.probability <= found.high


@pytest.mark.parametrize("p", [0.005, 0.05, 0.3, 0.5, 0.7, 0.95, 0.995])
def test_what_is_clear_is_decided_soon_with_every_seed(p: float) -> None:
    for seed in SEEDS:
        found = _decided(_smooth, p, seed)
        assert str(found) == _right(p)
        assert found.draws <= 8 * BATCH


def test_what_lies_at_a_threshold_is_left_open() -> None:
    found = _decided(_either, 0.9, 0, 4 * BATCH)
    assert found.answers == ("conditional", "accept")
    assert str(found) == "undecided between conditional and accept"
    assert found.draws == 4 * BATCH


def test_the_error_is_kept_where_one_looks_after_every_batch() -> None:
    wrong = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        found = decide(lambda _: _either(generator, 0.1), (0.1,), ("below", "above"), 0.1, 512)  # noqa: B023
        wrong += str(found) == "below"
    assert wrong <= 0.1 * 200


@pytest.mark.parametrize("part, answer", [(0.0, "reject"), (0.5, "conditional"), (1.0, "accept")])
def test_draws_that_all_agree_decide(part: float, answer: str) -> None:
    asked: list[int] = []

    def parts(batch: int) -> list[float]:
        asked.append(batch)
        return [part] * BATCH

    found = decide(parts, THRESHOLDS, ANSWERS)
    assert (str(found), found.probability) == (answer, part)
    assert asked == list(range(len(asked)))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.floats(1e-6, 0.5))
def test_bounds_hold_the_mean_and_narrow_with_the_error_allowed(parts: list[float], error: float) -> None:
    drawn = np.array(parts)
    low, high = mean_bounds(drawn, error)
    assert 0.0 <= low <= drawn.mean() + 1e-12
    assert drawn.mean() - 1e-12 <= high <= 1.0
    surer = mean_bounds(drawn, error / 10.0)
    assert surer[0] <= low + 1e-8 and surer[1] >= high - 1e-8
    mirrored = mean_bounds(1.0 - drawn, error)
    np.testing.assert_allclose(mirrored, (1.0 - high, 1.0 - low), atol=1e-8)


@pytest.mark.parametrize("drawn", [[], [0.5, 1.5], [-0.1], [float("nan")]])
def test_parts_are_parts(drawn: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        mean_bounds(np.array(drawn))


def test_answers_belong_between_thresholds() -> None:
    for thresholds, answers in (
        ((0.5,), ("one",)),
        ((0.9, 0.1), ANSWERS),
        ((0.5, 0.5), ANSWERS),
        ((0.0,), ("no", "yes")),
    ):
        with pytest.raises(ValueError, match="rising thresholds"):
            decide(lambda _: [0.5], thresholds, answers, ERROR)
