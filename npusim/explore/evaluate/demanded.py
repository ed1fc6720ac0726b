"""What to demand first: measurements by what they are expected to tell, with the probability after each outcome."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.explore.evaluate.deciders import Group
from npusim.explore.evaluate.decision import Judged
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.scoring import WHOLE

_LEAST_BITS = 0.005
"""Bits of a claim below which its measurement is not asked for."""


@dataclass(frozen=True)
class ProposalDemand:
    """A measurement for a claim. weight: of the claim, percent; now: the probability that it holds; worth: bits times
    the weight's part of all, by which demands are ranked."""

    judged: Judged
    group: Group
    weight: float

    @property
    def now(self) -> float:
        return self.judged.probability

    @property
    def worth(self) -> float:
        return self.group.gain * self.weight / WHOLE


def demands(evaluation: Evaluation) -> list[ProposalDemand]:
    """Every measurement that is expected to tell something of a claim, the one of most worth first; none for claims
    that a bound forbids, which no measurement within the ranges mends."""
    found = [
        ProposalDemand(each, group, evaluation.weight_of(each.claim.name))
        for each in evaluation.judged
        if not each.broken
        for group in each.groups
        if group.gain >= _LEAST_BITS
    ]
    return sorted(found, key=lambda demand: (-demand.worth, -demand.group.gain))
