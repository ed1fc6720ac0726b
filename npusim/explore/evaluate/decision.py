"""From predictions, bounds, what is open and the evidence to a decision, by a stated rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from npusim.bounds.finding import IMPOSSIBLE, Finding, gravest
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.deciders import ClaimDecider, Group
from npusim.explore.evaluate.fixed_times import FixedTimes
from npusim.explore.evaluate.neighbour import Neighbour
from npusim.explore.evaluate.prediction import ClaimPrediction
from npusim.explore.evaluate.software import SoftwareFinding
from npusim.words import Phrase

ACCEPT, CONDITIONAL, REJECT = "accept", "conditional", "reject"
INCOMPLETE, UNDECIDED = "conditions incomplete", "undecided"


@dataclass(frozen=True)
class Judgement:
    """One reading of a claim judged. prediction: None where the model does not fit, with the reason in `unfit`."""

    claim: Claim
    prediction: ClaimPrediction | None
    unfit: str
    findings: Sequence[Finding]

    @property
    def broken(self) -> list[Finding]:
        """The bounds that even the most favourable terms break."""
        return [found for found in self.findings if found.verdict == IMPOSSIBLE]

    @property
    def probability(self) -> float:
        return 0.0 if self.prediction is None or self.broken else self.prediction.probability

    @property
    def answers(self) -> tuple[str, ...]:
        """Decisions on the probability that the draws leave; reject where a bound is broken or nothing fits."""
        if self.broken or self.prediction is None:
            return (REJECT,)
        return self.prediction.decision.answers


@dataclass(frozen=True)
class Judged:
    """A claim judged.

    reading: with every open condition at its usual value; extremes: the most and the least favourable readings where
    something is open; open: values of what is; told: of what is told; singly: (condition, value, estimate of the
    figure) of the readings with one open condition changed; withheld: why what is predicted to hold is not yet
    accepted; together: what all fixed times would have to be, where no number alone makes the claim hold; software: the
    claim under each state of it.
    """

    asked: Claim
    reading: Judgement
    extremes: tuple[Judgement, ...]
    open: Mapping[str, tuple[Any, ...]]
    told: Mapping[str, Any]
    singly: tuple[tuple[str, Any, float], ...]
    withheld: tuple[Phrase, ...]
    deciders: Sequence[ClaimDecider]
    groups: Sequence[Group]
    neighbour: Neighbour | None
    together: FixedTimes | None = None
    software: SoftwareFinding | None = None

    @property
    def claim(self) -> Claim:
        """The claim as it is read where one reading is wanted."""
        return self.reading.claim

    @property
    def prediction(self) -> ClaimPrediction | None:
        return self.reading.prediction

    @property
    def unfit(self) -> str:
        return self.reading.unfit

    @property
    def findings(self) -> Sequence[Finding]:
        return self.reading.findings

    @property
    def broken(self) -> list[Finding]:
        return self.reading.broken

    @property
    def tightest(self) -> Finding | None:
        return gravest(self.findings)

    @property
    def probability(self) -> float:
        return self.reading.probability

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest probability over all readings."""
        found = [each.probability for each in (self.reading, *self.extremes)]
        return min(found), max(found)

    @property
    def undecided(self) -> tuple[str, ...]:
        """The decisions that are left where the draws or what is open leave several."""
        left = dict.fromkeys(self._answers())
        return tuple(left) if len(left) > 1 else ()

    @property
    def decision(self) -> str:
        """What holds for every reading. Reject: a bound is broken, it does not fit, or holds with less than 10 %;
        accept: it holds with 90 % or more and nothing is withheld; conditions incomplete: that hangs on what the claim
        does not tell; undecided: the draws do not settle it."""
        left = set(self._answers())
        if len(left) == 1:
            return left.pop()
        sets = [set(self.answers_of(each)) for each in (self.reading, *self.extremes)]
        apart = any(one.isdisjoint(other) for one, other in combinations(sets, 2))
        return INCOMPLETE if apart else UNDECIDED

    def _answers(self) -> Iterator[str]:
        for each in (self.reading, *self.extremes):
            yield from self.answers_of(each)

    def answers_of(self, judgement: Judgement) -> tuple[str, ...]:
        """The decisions that are left for one reading, by the rule."""
        left = (CONDITIONAL if answer == ACCEPT and self.withheld else answer for answer in judgement.answers)
        return tuple(dict.fromkeys(left))
