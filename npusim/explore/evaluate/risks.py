"""The register of risks: claims that may fail, with their computed likelihood, and what the proposal tells itself."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.explore.evaluate.amounts import amount
from npusim.explore.evaluate.decision import ACCEPT, Judged
from npusim.explore.evaluate.demanded import Demand, demands
from npusim.explore.evaluate.run import Evaluation
from npusim.words import Phrase


@dataclass(frozen=True)
class ComputedRisk:
    """A claim that may not hold. likelihood, low, high: 1 - its probability, as read and over all readings; weight:
    percent of the targets that hang on it; lowered_by: what would make it less likely."""

    judged: Judged
    likelihood: float
    low: float
    high: float
    weight: float
    lowered_by: Phrase

    @property
    def text(self) -> Phrase:
        return Phrase("{claim} is not reached", {"claim": self.judged.asked.text})


def computed_risks(evaluation: Evaluation) -> list[ComputedRisk]:
    """Of every claim that is not accepted, the greatest expected loss of weight first."""
    known = demands(evaluation)
    found = [_risk(each, evaluation, known) for each in evaluation.judged if each.decision != ACCEPT]
    return sorted(found, key=lambda risk: -risk.likelihood * risk.weight)


def _risk(judged: Judged, evaluation: Evaluation, known: list[Demand]) -> ComputedRisk:
    least, most = judged.span
    weight = evaluation.weight_of(judged.claim.name)
    likelihood = 1.0 - judged.probability
    return ComputedRisk(judged, likelihood, 1.0 - most, 1.0 - least, weight, _lowered_by(judged, known))


def _lowered_by(judged: Judged, known: list[Demand]) -> Phrase:
    """The first of: another claim (a bound forbids this one), conditions to be told, a number to be reached, a
    measurement, the evidence that acceptance waits for."""
    if judged.broken or judged.prediction is None:
        return Phrase("nothing within the described chip: another target or another chip")
    if judged.open and judged.span[0] < judged.probability - _APART:
        return Phrase("telling what the claim leaves open: {names}", {"names": ", ".join(judged.open)})
    reached = next((each for each in judged.deciders if each.needed is not None), None)
    if reached is not None:
        side = "at least {value}" if reached.wants_more else "at most {value}"
        value = Phrase(side, {"value": amount(reached.quantity, reached.needed)})
        return Phrase("showing {number} {value}", {"number": f"{reached.owner}.{reached.path}", "value": value})
    demand = next((each for each in known if each.judged is judged), None)
    if demand is not None:
        return Phrase("measuring first: {group}", {"group": Phrase(demand.group.name)})
    if judged.withheld:
        return Phrase("evidence: {reason}", {"reason": judged.withheld[0]})
    return Phrase("nothing that npusim knows of")


_APART = 0.05
"""Probability by which readings differ before telling the conditions is asked for first."""
