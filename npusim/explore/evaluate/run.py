"""A proposal from its file to its evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from npusim.bounds.event_driven import IMPOSSIBLE
from npusim.errors import DoesNotFit
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.credibility import Factor, credibility
from npusim.explore.evaluate.curve_judged import JudgedCurve
from npusim.explore.evaluate.curve_run import judge_curve
from npusim.explore.evaluate.deciders import claim_deciders
from npusim.explore.evaluate.decision import Judged, Judgement
from npusim.explore.evaluate.evidence import withheld
from npusim.explore.evaluate.figures import point_of
from npusim.explore.evaluate.fixed_times import fixed_times
from npusim.explore.evaluate.limits import claim_findings
from npusim.explore.evaluate.neighbour import nearest
from npusim.explore.evaluate.placing import deployment_of, goodness_on
from npusim.explore.evaluate.prediction import baseline_of, predict_claim
from npusim.explore.evaluate.proposal import Proposal, architecture_of
from npusim.explore.evaluate.readings import PROMPTS, SOFTWARE, Readings, readings, told_conditions
from npusim.explore.evaluate.scoring import WHOLE, Item
from npusim.explore.evaluate.software import software_finding
from npusim.explore.evaluate.unmoved import UnmovedNumber, unmoved_numbers
from npusim.explore.evaluate.yearly import JudgedTarget, judged_targets
from npusim.hardware.catalog import load_system
from npusim.hardware.draws import ranged_numbers
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.shared import ranged_shared
from npusim.workload.catalog import shipped_models


@dataclass(frozen=True)
class Evaluation:
    """deployments: one per claim, in their order, one of the chip without a claim; curves: of collectives; unmoved:
    numbers that the architecture changes to no effect."""

    proposal: Proposal
    arch: str
    judged: list[Judged]
    deployments: list[Deployment]
    factors: list[Factor]
    unmoved: list[UnmovedNumber]
    targets: list[JudgedTarget]
    curves: list[JudgedCurve]

    def weight_of(self, claim: str) -> float:
        """Percent of the items that are tied to a claim; without a table all claims weigh the same."""
        if not self.targets:
            return WHOLE / len(self.judged)
        return sum(each.told.weight_percent for each in self.targets if each.told.claim == claim)

    @property
    def items(self) -> list[Item]:
        """What earns a weight: the targets of the last year, or without a table the claims."""
        if self.targets:
            return [
                Item(each.told.weight_percent, each.last.judged, each.last.decision == IMPOSSIBLE)
                for each in self.targets
            ]
        return [Item(self.weight_of(each.claim.name), each) for each in self.judged]

    @property
    def chip(self) -> Hashable:
        """What is uncertain of the chip: equal for proposals whose draws are those of one chip."""
        where = self.deployments[0]
        numbers = (*ranged_numbers(where.system, where.runtime), *ranged_shared(where))
        return tuple((number.label, number.quantity.low, number.quantity.high) for number in numbers)


def evaluate_proposal(proposal: Proposal, path: Path, seed: int, say: Callable[[str], None]) -> Evaluation:
    """Judge every claim of a proposal; path: its file, named in mistakes. Raises UserError."""
    arch = architecture_of(proposal, path)
    judged, deployments = [], []
    for claim in proposal.claims:
        say(f"claim {claim.name}")
        found, deployment = _judged(claim, arch, proposal, seed)
        judged.append(found)
        deployments.append(deployment)
    deployments = deployments or [_chip_alone(arch, proposal)]
    curves = []
    for curve in proposal.curves:
        say(f"curve {curve.name}")
        curves.append(judge_curve(curve, arch, proposal, path, deployments[0], seed))
    runs = [(each.claim, where) for each, where in zip(judged, deployments, strict=False) if not each.claim.is_peak]
    unmoved = unmoved_numbers(arch, [claim for claim, _ in runs], [where for _, where in runs], seed)
    factors = credibility(deployments[0], judged)
    targets = judged_targets(proposal, judged, arch, path)
    return Evaluation(proposal, arch, judged, deployments, factors, unmoved, targets, curves)


def _chip_alone(arch: str, proposal: Proposal) -> Deployment:
    """The chip of a proposal that claims no run, under any shipped model, since none runs."""
    return deploy(arch, next(iter(shipped_models().values())).stem, cards=1, runtime=proposal.runtime)


def _judged(claim: Claim, arch: str, proposal: Proposal, seed: int) -> tuple[Judged, Deployment]:
    asked = _of_chip(claim, arch, proposal) if claim.is_peak else _of_run(claim, arch, proposal)
    deployment = deployment_of(asked.assumed, arch)
    reading = _judge(asked.assumed, arch, deployment, seed)
    extremes = [each for each in dict.fromkeys((asked.best, asked.worst)) if each != asked.assumed]
    others = tuple(_judge(each, arch, deployment_of(each, arch), seed) for each in extremes)
    found, value = reading.prediction, math.nan if reading.prediction is None else reading.prediction.value
    near = nearest(asked.assumed, deployment)
    width = 0.0 if found is None else found.unexplained
    deciding = None if found is None else claim_deciders(asked.assumed, deployment, value, width, found.probability)
    alone = [] if deciding is None else deciding.numbers
    suffices = found is None or claim.baseline is not None or any(each.needed is not None for each in alone)
    judged = Judged(
        asked=claim,
        reading=reading,
        extremes=others,
        open=asked.open,
        told=dict(told_conditions(claim)),
        singly=tuple(_singly(asked, arch, value, seed)),
        withheld=withheld(proposal.maturity, arch, deployment, alone, near),
        deciders=alone,
        groups=() if deciding is None else deciding.groups,
        neighbour=near,
        together=None if suffices else fixed_times(asked.assumed, deployment, value),
        software=None if found is None else software_finding(asked.assumed, deployment, found, seed),
    )
    return judged, deployment


def _of_run(claim: Claim, arch: str, proposal: Proposal) -> Readings:
    return readings(claim, arch, proposal, partial(goodness_on, arch))


def _of_chip(claim: Claim, arch: str, proposal: Proposal) -> Readings:
    """A figure of the chip itself has one reading; the model is any that is shipped, since none runs."""
    system = load_system(arch)
    model = claim.model or next(iter(shipped_models().values())).stem
    full = claim.model_copy(
        update={
            "model": model,
            "runtime": claim.runtime or proposal.runtime or system.runtime,
            "cards": claim.cards or 1,
            **{name: getattr(claim, name) or 1 for name in ("isl", "osl", "users")},
        }
    )
    return Readings(full, full, full, {}, ())


def _singly(asked: Readings, arch: str, value: float, seed: int) -> Iterator[tuple[str, Any, float]]:
    """The figure with one open condition at another value, from estimates relative to the reading that is assumed."""
    own = goodness_on(arch, asked.assumed) if asked.singly else 0.0
    for name, other, reading in asked.singly:
        if name in (PROMPTS, SOFTWARE):
            yield name, other, point_of(reading, deployment_of(reading, arch), seed)
            continue
        moved = goodness_on(arch, reading) - own
        sign = 1.0 if reading.wants_more else -1.0
        yield name, other, value * math.exp(sign * moved) if math.isfinite(moved) else math.nan


def _judge(claim: Claim, arch: str, deployment: Deployment, seed: int) -> Judgement:
    found = claim_findings(claim, arch, deployment)
    try:
        if not claim.is_peak:
            deployment.require_fit(sum(claim.load[:2]))
        base = None if claim.baseline is None else baseline_of(claim, arch)
        return Judgement(claim, predict_claim(claim, deployment, seed, base), "", found)
    except DoesNotFit as error:
        return Judgement(claim, None, error.message, found)
