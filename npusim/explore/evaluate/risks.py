"""The register of risks: claims that may fail, with their computed likelihood, and what the proposal tells itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from npusim.explore.evaluate.amounts import amount
from npusim.explore.evaluate.decision import ACCEPT, Judged
from npusim.explore.evaluate.demanded import ProposalDemand, demands
from npusim.explore.evaluate.open_titles import OPEN_TITLES
from npusim.explore.evaluate.run import Evaluation
from npusim.words import Phrase

_APART = 0.05
"""Probability by which readings differ before telling the conditions is asked for first."""


@dataclass(frozen=True)
class ComputedRisk:
    """A target of the last year, or a claim without one, that may not be reached. likelihood, low, high: 1 - its
    probability, as read and over all readings; weight: percent that hangs on it; lowered_by: what would make it less
    likely."""

    judged: Judged
    text: Phrase
    likelihood: float
    low: float
    high: float
    weight: float
    lowered_by: Phrase


def computed_risks(evaluation: Evaluation) -> list[ComputedRisk]:
    """Of every target and claim that is not accepted, the greatest expected loss of weight first."""
    known = demands(evaluation)
    found = [_risk(*subject, known) for subject in _subjects(evaluation)]
    return sorted(found, key=lambda risk: -risk.likelihood * risk.weight)


def _subjects(evaluation: Evaluation) -> Iterator[tuple[Judged, Judged, Phrase, float]]:
    """What may not be reached, its claim, what is said of it, and its weight."""
    tied = {each.told.claim for each in evaluation.targets}
    for target in evaluation.targets:
        judged = target.last.judged
        if judged is not None and target.judged is not None and judged.decision != ACCEPT:
            told = {"item": target.told.item, "year": target.last.told.year}
            text = Phrase("{item}: the target of {year} is not reached", told)
            yield judged, target.judged, text, target.told.weight_percent
    for each in evaluation.judged:
        if each.asked.name not in tied and each.decision != ACCEPT:
            weight = evaluation.weight_of(each.asked.name)
            yield each, each, Phrase("{claim} is not reached", {"claim": each.asked.text}), weight


def _risk(judged: Judged, claim: Judged, text: Phrase, weight: float, known: list[ProposalDemand]) -> ComputedRisk:
    least, most = judged.span
    lowered = _lowered_by(judged, claim, known)
    return ComputedRisk(judged, text, 1.0 - judged.probability, 1.0 - most, 1.0 - least, weight, lowered)


def _lowered_by(judged: Judged, claim: Judged, known: list[ProposalDemand]) -> Phrase:
    """The first of: another claim (a bound forbids this one), conditions to be told, a number to be reached, a
    measurement, the evidence that acceptance waits for."""
    if judged.broken or judged.prediction is None:
        return Phrase("nothing within the described chip: another target or another chip")
    if judged.open and judged.span[0] < judged.probability - _APART:
        return Phrase("telling what the claim leaves open: {names}", {"names": _titles(list(judged.open))})
    reached = next((each for each in judged.deciders if each.needed is not None), None)
    if reached is not None and judged is claim:
        side = "at least {value}" if reached.wants_more else "at most {value}"
        value = Phrase(side, {"value": amount(reached.quantity, reached.needed)})
        return Phrase("showing {number} {value}", {"number": f"{reached.owner}.{reached.path}", "value": value})
    demand = next((each for each in known if each.judged is claim), None)
    if demand is not None:
        return Phrase("measuring first: {group}", {"group": Phrase(demand.group.name)})
    if judged.withheld:
        return Phrase("evidence: {reason}", {"reason": judged.withheld[0]})
    return Phrase("nothing that npusim knows of")


def _titles(names: Sequence[str]) -> Phrase:
    """Conditions by their headings, with commas between them."""
    titles = {f"n{at}": Phrase(OPEN_TITLES[name]) for at, name in enumerate(names)}
    return Phrase(", ".join(f"{{{key}}}" for key in titles), titles)
