"""Decisions from random draws that do not turn with the seed: draw until one answer is left, or say which are.

The figure behind a decision is a probability p, the mean of a part in 0...1 that each draw gives (whether a claim holds
on a drawn machine, or the part of what is unexplained under which it does). Answers belong to the stretches between
thresholds of p. Bounds on p hold at every number of draws at once, so that one may look after each batch and stop: the
capital of bets against "p is at most m" (or at least m) grows past 1 / error with probability error at most where m is
true (Ville 1939), and the mean capital of bets of several sizes is capital too. Waudby-Smith, Ramdas 2024, "Estimating
means of bounded random variables by betting", JRSS B 86(1). Draws of one Latin hypercube are associated negatively, so
that a figure that rises or falls with each number wins no more on them than on independent ones (Joag-Dev, Proschan
1983, "Negative association of random variables", Annals of Statistics 11(1)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

ERROR = 0.01
"""Greatest probability with which a decision may be wrong."""
MOST_DRAWS = 1024
"""Draws after which the answers that are left are told as they are."""
_BETS = np.linspace(0.0, 1.0, 21)[1:-1]
"""Parts of the capital that are staked, a bettor each."""
_HALVINGS = 30
"""Of the stretch in which a bound is sought: it is then exact to 1e-9."""
_NEXT_TO_NOTHING = 1e-9
"""A mean, and a part of the mean, below which no bound is sought."""


@dataclass(frozen=True)
class Decision:
    """answers: those that the draws leave, in the order of p; one where it is decided.

    probability: mean of the draws; low, high: what p lies between, whenever the drawing stopped; draws: how many.
    """

    answers: tuple[str, ...]
    probability: float
    low: float
    high: float
    draws: int

    @property
    def decided(self) -> bool:
        """True where one answer is left."""
        return len(self.answers) == 1

    def __str__(self) -> str:
        return self.answers[0] if self.decided else f"undecided between {' and '.join(self.answers)}"


def decide(
    parts: Callable[[int], Sequence[float] | np.ndarray],
    thresholds: Sequence[float],
    answers: Sequence[str],
    error: float = ERROR,
    most: int = MOST_DRAWS,
) -> Decision:
    """The answer for p, wrong with probability `error` at most, however the seed falls.

    parts(k): the parts in 0...1 of batch k = 0, 1, ... of draws; batches are independent of each other and each has one
    at least. thresholds: rising, between 0 and 1; answers: one more than thresholds, the lowest first; a
    threshold itself belongs to the answer above it. most: draws after which no further batch is asked for.

    A claim is accepted from 0.9 on and rejected below 0.1: thresholds (0.1, 0.9), answers ("reject", "conditional",
    "accept"). A figure lies inside the 90 % interval of its prediction where the part of draws at most as large is from
    0.05 to 0.95: thresholds (0.05, 0.95), answers ("below", "inside", "above"). Raises ValueError.
    """
    rising = [0.0, *thresholds, 1.0]
    if len(answers) != len(thresholds) + 1 or rising != sorted(set(rising)):
        raise ValueError(f"{len(thresholds)} rising thresholds need {len(thresholds) + 1} answers, not {len(answers)}")
    seen, goal = np.zeros(0), _goal(error)
    for batch in count():
        seen = np.append(seen, _checked(parts(batch)))
        first = sum(_log_capital(seen, threshold) >= goal for threshold in thresholds)
        last = sum(_log_capital(1.0 - seen, 1.0 - threshold) < goal for threshold in thresholds)
        if first == last or len(seen) >= most:
            return Decision(tuple(answers[first : last + 1]), float(seen.mean()), *mean_bounds(seen, error), len(seen))
    raise AssertionError


def mean_bounds(parts: Sequence[float] | np.ndarray, error: float = ERROR) -> tuple[float, float]:
    """What the mean of a distribution on 0...1 lies between, given draws of it (draws,).

    With probability 1 - `error` it does so for every number of draws at once. Raises ValueError for parts outside.
    """
    known, goal = _checked(parts), _goal(error)
    return _least(known, goal), 1.0 - _least(1.0 - known, goal)


def _checked(parts: Sequence[float] | np.ndarray) -> np.ndarray:
    known = np.asarray(parts, dtype=float)
    if not len(known) or not ((known >= 0.0) & (known <= 1.0)).all():
        raise ValueError("parts must be numbers from 0 to 1, one at least")
    return known


def _goal(error: float) -> float:
    """Logarithm of the capital that shows a side wrong, half of the error for each side."""
    return math.log(2.0 / error)


def _least(parts: np.ndarray, goal: float) -> float:
    """The largest m against which bets that the mean is more have won a capital of exp(goal); 0 where there is none."""
    low, high = 0.0, float(parts.mean())
    if high < _NEXT_TO_NOTHING or _log_capital(parts, high * _NEXT_TO_NOTHING) < goal:
        return 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _log_capital(parts, middle) >= goal else (low, middle)
    return low


def _log_capital(parts: np.ndarray, mean: float) -> float:
    """Logarithm of the mean capital of bettors, each of whom stakes a part of it on more than `mean` at every draw."""
    each = np.log1p(np.multiply.outer(_BETS, parts / mean - 1.0)).sum(axis=1)
    return float(np.logaddexp.reduce(each)) - math.log(len(_BETS))
