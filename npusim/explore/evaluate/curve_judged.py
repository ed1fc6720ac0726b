"""A claimed curve judged: each point beside its bound and what is predicted, the worst point, and a decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from npusim.answers.collective_times import AlphaBeta
from npusim.bounds.fabric_cut import LeastTime
from npusim.explore.evaluate.curve import CurveClaim, CurvePoint
from npusim.explore.evaluate.decision import ACCEPT, CONDITIONAL, INCOMPLETE, REJECT, UNDECIDED
from npusim.serving.decision import Decision
from npusim.units import GIB, KIB, MIB
from npusim.words import Phrase


@dataclass(frozen=True)
class Readout:
    """A figure of a point in the curve's unit, or as a ratio, with its 90 % interval, and how often the point holds.

    value: None where nothing carries the collective out.
    """

    value: float | None
    low: float | None
    high: float | None
    probability: float


@dataclass(frozen=True)
class JudgedPoint:
    """ranks: chips that take part; limit: the best that the links allow, at their favourable ends and whatever the
    algorithm; least: the time behind it; fastest: the best named algorithm on the links alone; limit_s: time within
    which the point holds, of the described baseline where there is one; readings: with the library as it is described,
    and, where the claim does not tell one, with software that costs no time."""

    point: CurvePoint
    ranks: int
    limit: float
    least: LeastTime
    fastest: AlphaBeta
    limit_s: float
    broken: bool
    readings: tuple[Readout, ...]

    @property
    def assumed(self) -> Readout:
        """With the library as it is described."""
        return self.readings[0]

    @property
    def best(self) -> Readout:
        """The most favourable reading."""
        return self.readings[-1]

    @property
    def title(self) -> Phrase:
        """The point in words."""
        told = {"w_what": self.point.collective, "size": size_text(self.point.bytes), "n_cards": self.point.cards}
        return Phrase("{w_what}, {size}, {n_cards} cards", told)


@dataclass(frozen=True)
class JudgedCurve:
    """settled: the decision of each reading on all points at once, on the same drawn machines; withheld: why what is
    predicted to hold is not yet accepted."""

    asked: CurveClaim
    points: Sequence[JudgedPoint]
    settled: tuple[Decision, ...]
    withheld: tuple[Phrase, ...]

    @property
    def broken(self) -> list[JudgedPoint]:
        """Points that no algorithm reaches on the links at their favourable ends."""
        return [each for each in self.points if each.broken]

    @property
    def worst(self) -> JudgedPoint:
        """The point that is farthest beyond its bound, else the one that is hardest to reach."""
        if self.broken:
            return max(self.broken, key=lambda each: self._beyond(each, each.limit))
        return max(
            self.points,
            key=lambda each: (
                -each.best.probability,
                -each.assumed.probability,
                self._beyond(each, math.nan if each.best.value is None else each.best.value),
            ),
        )

    def _beyond(self, each: JudgedPoint, reached: float) -> float:
        """How many times better than what is reached the point is claimed to be."""
        if math.isnan(reached):
            return math.inf
        return each.point.value / reached if self.asked.wants_more else reached / each.point.value

    @property
    def span(self) -> tuple[float, float]:
        """Probability that all points hold, in the least and the most favourable reading."""
        found = [0.0 if self.broken else each.probability for each in self.settled]
        return min(found), max(found)

    @property
    def probability(self) -> float:
        """That all points hold with the library as it is described."""
        return 0.0 if self.broken else self.settled[0].probability

    @property
    def decision(self) -> str:
        """By the rule of claims: what all readings leave; conditions incomplete where they part."""
        sets = [set(self._answers(each)) for each in self.settled]
        left = set.union(*sets)
        if len(left) == 1:
            return left.pop()
        apart = any(one.isdisjoint(other) for one, other in combinations(sets, 2))
        return INCOMPLETE if apart else UNDECIDED

    def _answers(self, settled: Decision) -> tuple[str, ...]:
        if self.broken:
            return (REJECT,)
        left = (CONDITIONAL if each == ACCEPT and self.withheld else each for each in settled.answers)
        return tuple(dict.fromkeys(left))

    @property
    def room_s(self) -> float:
        """Seconds that software may add at the worst point to what the links alone take."""
        return self.worst.limit_s - self.worst.fastest.time_s


def size_text(byte_count: float) -> str:
    """A message's size as people write it, in binary units where it is a whole number of them."""
    for name, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if byte_count >= factor and (byte_count / factor).is_integer():
            return f"{byte_count / factor:g} {name}"
    return f"{byte_count:,.15g} B"
