"""Proposals beside each other: their scores on joint draws, and how sure their order is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.explore.evaluate.scoring import Score

_SAME = 1e-9
"""Points by which scores may differ and still be equal: sums of the same weights in another order."""
_MIXED = 2**37
"""Added to the seed for the order of draws, which is independent of the draws themselves."""


@dataclass(frozen=True)
class Ranked:
    """One proposal among others. rank: by the mean score, 1 for the highest, equal ones share it; probability: of each
    rank, the first one first, over joint draws; first_low, first_high: the probability of the first rank with its own
    readings least and all others' most favourable, and the other way round."""

    rank: int
    probability: tuple[float, ...]
    first_low: float
    first_high: float


def ranked(scores: Sequence[Score], chips: Sequence[Hashable], seed: int) -> list[Ranked]:
    """The proposals in their order; chips: equal where two have one uncertain chip, whose draws they then share.

    Chips that differ are drawn independently: the draws of each further one are put in an order of their own.
    """
    orders = _orders(chips, scores[0].assumed.size, seed)

    def mixed(kind: str, index: int) -> np.ndarray:
        return np.asarray(getattr(scores[index], kind).ravel()[orders[index]])

    every = range(len(scores))
    found = []
    probability = rank_probability(np.array([mixed("assumed", each) for each in every]))
    for own in every:
        firsts = [
            rank_probability(np.array([mixed(kind if each == own else other, each) for each in every]))[own, 0]
            for kind, other in (("worst", "best"), ("best", "worst"))
        ]
        first = float(probability[own, 0])
        rank = 1 + sum(other.value > scores[own].value + _SAME for other in scores)
        ends = min(float(firsts[0]), first), max(float(firsts[1]), first)
        found.append(Ranked(rank, tuple(map(float, probability[own])), *ends))
    return found


def rank_probability(scores: np.ndarray) -> np.ndarray:
    """The part of the draws on which each proposal has each rank, (proposals, proposals).

    scores: (proposals, draws). Equal ones share their ranks evenly, so that every row and every column sums to 1.
    """
    count = len(scores)
    found = np.zeros((count, count))
    for own in range(count):
        ahead = (scores > scores[own] + _SAME).sum(axis=0)
        equal = (np.abs(scores - scores[own]) <= _SAME).sum(axis=0)
        for rank in range(count):
            shares = np.where((rank >= ahead) & (rank < ahead + equal), 1.0 / equal, 0.0)
            found[own, rank] = shares.mean()
    return found


def _orders(chips: Sequence[Hashable], draws: int, seed: int) -> list[np.ndarray]:
    """An order of the draws for each proposal, the same for the same chip."""
    known: dict[Hashable, np.ndarray] = {}
    for chip in chips:
        if chip not in known:
            mixing = np.random.default_rng((seed + _MIXED, len(known)))
            known[chip] = mixing.permutation(draws) if known else np.arange(draws)
    return [known[chip] for chip in chips]
