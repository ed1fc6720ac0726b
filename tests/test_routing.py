"""Experts touched and tiles of rows against tokens that are sent to experts one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.mapping.grouped import row_blocks, touched_matrices
from npusim.mapping.optable import LINEAR, OP_DTYPE
from npusim.workload.routing import GROUPS, Skew, choice_chances

UNIFORM = Skew()
SKEWS = [UNIFORM, Skew(1.0, 8.0), Skew(1.2, 100.0), Skew(2.0, 20.0)]
TRIALS = 200


def _row(experts: int, chosen: int, tokens: float, skew: Skew = UNIFORM, dealt: bool = False) -> Any:
    row = np.zeros(1, OP_DTYPE)[0]
    row["kind"], row["matrices"], row["fan"], row["m"] = LINEAR, experts, chosen, tokens * chosen
    row["popularity"], row["dealt"] = choice_chances(experts, chosen, skew), dealt
    return row


def _loads(experts: int, chances: tuple[float, ...], tokens: int, seed: int = 7) -> np.ndarray:
    """Tokens of each expert, (TRIALS, experts): each token takes a systematic sample with the given chances.

    Madow 1949, "On the theory of systematic sampling II": inclusion probabilities are exact, and a token takes as many
    experts as the chances sum to; the order of experts is drawn anew for each token.
    """
    generator = np.random.default_rng(seed)
    each = np.repeat(chances, experts // GROUPS)
    loads = np.zeros((TRIALS, experts))
    for trial in range(TRIALS):
        for _ in range(tokens):
            order = generator.permutation(experts)
            steps = np.floor(np.concatenate([[0.0], np.cumsum(each[order])]) + generator.random() + 1e-12)
            loads[trial, order] += np.diff(steps) > 0
    return loads


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize(("experts", "chosen", "tokens"), [(128, 4, 1), (128, 4, 16), (256, 8, 40), (32, 4, 64)])
def test_touched_experts_and_tiles_against_simulation(experts: int, chosen: int, tokens: int, skew: Skew) -> None:
    row = _row(experts, chosen, tokens, skew)
    loads = _loads(experts, tuple(row["popularity"]), tokens)
    assert loads.sum(axis=1) == pytest.approx(np.full(TRIALS, tokens * chosen))
    touched = (loads > 0).sum(axis=1)
    error = 4.0 * touched.std() / math.sqrt(TRIALS) + 1e-9
    assert touched_matrices(row, row["m"]) == pytest.approx(touched.mean(), abs=error)
    for tile in (4.0, 8.0, 16.0):
        blocks = np.ceil(loads / tile).sum(axis=1).mean()
        assert row_blocks(row, tile) == pytest.approx(blocks, rel=0.04)


@given(st.integers(1, 512), st.integers(1, 4096))
def test_uniform_touch_is_the_closed_form(experts: int, tokens: int) -> None:
    chosen = min(experts, 8)
    expected = experts * (1.0 - (1.0 - chosen / experts) ** tokens)
    assert touched_matrices(_row(experts, chosen, tokens), float(tokens * chosen)) == pytest.approx(expected)


@given(st.integers(1, 512), st.integers(1, 16), st.floats(0.0, 3.0), st.floats(1.0, 1e4))
def test_chances_fall_and_sum_to_the_chosen_experts(experts: int, chosen: int, exponent: float, span: float) -> None:
    chosen = min(chosen, experts)
    chances = np.array(choice_chances(experts, chosen, Skew(exponent, span)))
    assert (np.diff(chances) <= 1e-12).all()
    assert chances.min() >= 0.0
    assert chances.max() <= 1.0
    assert chances.mean() * experts == pytest.approx(chosen, rel=1e-6)


@given(st.integers(1, 5000), st.sampled_from(SKEWS))
def test_skew_touches_fewer_and_more_tokens_touch_more(tokens: int, skew: Skew) -> None:
    skewed, uniform = _row(128, 4, tokens, skew), _row(128, 4, tokens)
    assert touched_matrices(skewed, 4.0 * tokens) <= touched_matrices(uniform, 4.0 * tokens) + 1e-9
    assert touched_matrices(skewed, 4.0 * tokens + 4.0) >= touched_matrices(skewed, 4.0 * tokens)
    assert touched_matrices(skewed, 4.0 * tokens) <= min(128.0, 4.0 * tokens) + 1e-9


@given(st.integers(1, 20000), st.sampled_from([8.0, 16.0, 64.0, 128.0]), st.sampled_from(SKEWS))
def test_blocks_hold_the_rows_and_no_more_than_one_tile_too_many_each(tokens: int, tile: float, skew: Skew) -> None:
    row = _row(128, 8, tokens, skew)
    blocks, touched = row_blocks(row, tile), touched_matrices(row, row["m"])
    assert blocks >= row["m"] / tile * 0.97
    assert blocks >= touched - 1e-6
    assert blocks <= row["m"] / tile + touched + 1e-6


@pytest.mark.parametrize(("tokens", "tile"), [(64, 4.0), (1000, 64.0), (4096, 128.0), (4097, 128.0)])
def test_dealt_tokens_lie_evenly(tokens: int, tile: float) -> None:
    row = _row(128, 8, tokens, dealt=True)
    each = tokens * 8 / 128
    assert row_blocks(row, tile) == 128 * math.ceil(each / tile)
    assert touched_matrices(_row(256, 8, 3, dealt=True), 24.0) == pytest.approx(24)


def test_a_plain_product_has_one_matrix() -> None:
    row = np.zeros(1, OP_DTYPE)[0]
    row["m"] = 129.0
    assert row_blocks(row, 128.0) == 2.0
