"""The table of targets judged: each year's target by the machinery of claims, and what is not decidable with why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from npusim.bounds.event_driven import NOT_DECIDABLE as OPEN
from npusim.explore.evaluate.decision import Judged, Judgement
from npusim.explore.evaluate.event_driven import EventVerdict, judged_event
from npusim.explore.evaluate.limits import claim_findings
from npusim.explore.evaluate.placing import deployment_of
from npusim.explore.evaluate.proposal import Proposal
from npusim.explore.evaluate.target_table import Target, YearTarget
from npusim.explore.evaluate.target_units import worth
from npusim.explore.evaluate.worlds_best import CONTRADICTED, ComparedWithWorldsBest, compared_with_worlds_best
from npusim.words import Phrase

NOT_DECIDABLE = "not decidable here"


@dataclass(frozen=True)
class JudgedYear:
    """told: the target as the proposal gives it; judged: the claim with this target as its limit, None where no claim
    is tied to the item; unit_worth: of the item's unit in that of the claim's metric; event: what the bounds of an
    event-driven unit say, None where the item is of none."""

    told: YearTarget
    judged: Judged | None
    unit_worth: float
    event: EventVerdict | None = None

    @property
    def decision(self) -> str:
        if self.event is not None and self.event.verdict != OPEN:
            return self.event.verdict
        return NOT_DECIDABLE if self.judged is None else self.judged.decision

    @property
    def interval(self) -> tuple[float, float, float] | None:
        """Low end, prediction and high end in the item's unit; None where nothing is predicted."""
        found = None if self.judged is None else self.judged.prediction
        if found is None:
            return None
        return found.low / self.unit_worth, found.value / self.unit_worth, found.high / self.unit_worth


@dataclass(frozen=True)
class JudgedTarget:
    """told: the item; judged: its claim; years: its targets; best: its world's best beside what npusim knows."""

    told: Target
    judged: Judged | None
    years: tuple[JudgedYear, ...]
    best: ComparedWithWorldsBest

    @property
    def last(self) -> JudgedYear:
        return self.years[-1]

    @property
    def reason(self) -> Phrase | str:
        """Why it is not decidable, "" where it is."""
        if self.judged is not None:
            return ""
        if self.last.event is not None:
            return self.last.event.reason
        if self.told.not_decidable is not None:
            return self.told.not_decidable
        return Phrase(
            "no claim of the proposal is tied to it: npusim predicts speed, power, energy and figures of chips"
        )

    @property
    def contradictions(self) -> list[Phrase]:
        """What the told levels contradict: a known better one, or each other."""
        return list(_contradictions(self))


def judged_targets(proposal: Proposal, judged: Sequence[Judged], arch: str, path: Path) -> list[JudgedTarget]:
    """The items of a proposal's table in their order. judged: its claims; path: its file. Raises UserError."""
    claims = {each.claim.name: each for each in judged}
    return [
        _judged(target, None if target.claim is None else claims[target.claim], arch, path)
        for target in proposal.targets
    ]


def _judged(target: Target, judged: Judged | None, arch: str, path: Path) -> JudgedTarget:
    factor = None if judged is None else worth(target.unit, judged.asked)
    if judged is None or factor is None:
        told = target.event_driven
        years = tuple(
            JudgedYear(year, None, 1.0, None if told is None else judged_event(told, year.value, target.unit, path))
            for year in target.years
        )
        return JudgedTarget(target, None, years, compared_with_worlds_best(target, None, 1.0))
    years = tuple(JudgedYear(year, held_against(judged, year.value * factor, arch), factor) for year in target.years)
    return JudgedTarget(target, judged, years, compared_with_worlds_best(target, judged, factor))


def held_against(judged: Judged, limit: float, arch: str) -> Judged:
    """The claim as judged, with another limit: the same readings and draws, bounds and decision anew."""
    if limit == judged.asked.value:
        return judged
    side = "at_least" if judged.asked.wants_more else "at_most"
    return replace(
        judged,
        asked=judged.asked.model_copy(update={side: limit}),
        reading=_against(judged.reading, side, limit, arch),
        extremes=tuple(_against(each, side, limit, arch) for each in judged.extremes),
    )


def _against(judgement: Judgement, side: str, limit: float, arch: str) -> Judgement:
    claim = judgement.claim.model_copy(update={side: limit})
    found = None if judgement.prediction is None else judgement.prediction.against(claim)
    return replace(
        judgement, claim=claim, prediction=found, findings=claim_findings(claim, arch, deployment_of(claim, arch))
    )


def _contradictions(target: JudgedTarget) -> list[Phrase]:
    told, best, found = target.told, target.best, []
    if best.status == CONTRADICTED and told.world_best is not None and best.known is not None:
        values = {
            "item": told.item,
            "told": f"{told.world_best.value:,.4g}",
            "known": f"{best.known.value / target.last.unit_worth:,.4g}",
            "unit": told.unit,
            "holder": best.known.holder,
            "source": best.known.source,
        }
        found.append(
            Phrase(
                "{item}: the world's best is told as {told} {unit}; under the same conditions {holder} reached {known} "
                "({source})",
                values,
            )
        )
    if target.judged is not None and target.last.judged is not target.judged:
        values = {
            "item": told.item,
            "claim": f"{target.judged.asked.value / target.last.unit_worth:,.4g}",
            "target": f"{target.last.told.value:,.4g}",
            "unit": told.unit,
        }
        found.append(
            Phrase("{item}: the claim is told as {claim} {unit}, the last year's target as {target} {unit}", values)
        )
    if told.world_best is not None and told.domestic is not None:
        sign = 1.0 if told.wants_more else -1.0
        if sign * told.domestic.value > sign * told.world_best.value:
            values = {"item": told.item}
            found.append(Phrase("{item}: the domestic level is told to be better than the world's best", values))
    return found
