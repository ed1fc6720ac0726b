"""A proposal from its file to its evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from npusim.errors import DoesNotFit
from npusim.explore.evaluate.credibility import Factor, credibility
from npusim.explore.evaluate.deciders import ClaimDecider, claim_deciders
from npusim.explore.evaluate.decision import Judged
from npusim.explore.evaluate.fixed_times import fixed_times
from npusim.explore.evaluate.limits import claim_findings
from npusim.explore.evaluate.neighbour import nearest
from npusim.explore.evaluate.prediction import predict_claim
from npusim.explore.evaluate.proposal import Claim, Proposal, architecture_of
from npusim.explore.evaluate.software import SoftwareFinding, judged_under, software_finding
from npusim.explore.evaluate.unmoved import UnmovedNumber, unmoved_numbers
from npusim.mapping.deployment import Deployment, deploy
from npusim.metrics import TABLE_COLUMN, told_as


@dataclass(frozen=True)
class Evaluation:
    """deployments: one per claim, in their order; unmoved: numbers that the architecture changes to no effect."""

    proposal: Proposal
    arch: str
    judged: list[Judged]
    deployments: list[Deployment]
    factors: list[Factor]
    unmoved: list[UnmovedNumber]

    def as_json(self) -> list[dict[str, Any]]:
        """The claims as the contract of the command line has them."""
        return [_claim_json(each) for each in self.judged]


def evaluate_proposal(proposal: Proposal, path: Path, seed: int, say: Callable[[str], None]) -> Evaluation:
    """Judge every claim of a proposal; path: its file, named in mistakes. Raises UserError."""
    arch = architecture_of(proposal, path)
    judged, deployments = [], []
    for claim in proposal.claims:
        say(f"claim {claim.name}")
        deployment = _deployment(claim, arch, proposal)
        deployments.append(deployment)
        judged.append(_judge(claim, arch, deployment, seed))
    unmoved = unmoved_numbers(arch, proposal.claims, deployments, seed)
    return Evaluation(proposal, arch, judged, deployments, credibility(deployments[0], judged), unmoved)


def _deployment(claim: Claim, arch: str, proposal: Proposal) -> Deployment:
    told = claim.software or proposal.software
    found = deploy(
        arch,
        claim.model,
        precision=claim.precision,
        kv_precision=claim.kv_precision,
        cards=claim.cards,
        runtime=proposal.runtime,
        tokens=claim.isl + claim.osl,
        software=told,
    )
    return judged_under(found, told)


def _judge(claim: Claim, arch: str, deployment: Deployment, seed: int) -> Judged:
    found = claim_findings(claim, arch, deployment)
    neighbour = nearest(claim, deployment, seed)
    try:
        deployment.require_fit(claim.isl + claim.osl)
        prediction = predict_claim(claim, deployment, seed)
    except DoesNotFit as error:
        return Judged(claim, None, error.message, found, [], neighbour)
    alone = claim_deciders(claim, deployment, prediction.value)
    suffices = any(decider.needed is not None for decider in alone)
    together = None if suffices else fixed_times(claim, deployment, prediction.value)
    software = software_finding(claim, deployment, prediction, seed)
    return Judged(claim, prediction, "", found, alone, neighbour, together, software)


def _claim_json(judged: Judged) -> dict[str, Any]:
    claim, prediction = judged.claim, judged.prediction
    return {
        "claim": claim.name,
        "text": claim.text,
        "metric": claim.metric,
        "claimed": claim.value,
        "side": "at_least" if claim.wants_more else "at_most",
        "predicted": None if prediction is None else prediction.value,
        "low": None if prediction is None else prediction.low,
        "high": None if prediction is None else prediction.high,
        "probability": judged.probability,
        "decision": judged.decision,
        "needs": [_need(decider) for decider in judged.deciders],
        "together": None if judged.together is None else asdict(judged.together),
        "bounds": [
            vars(found)
            | {
                "metric": told_as(TABLE_COLUMN, found.metric),
                "verdict": found.verdict,
                "need": str(found.need),
                "says": str(found.says),
            }
            for found in judged.findings
        ],
        "software": None if judged.software is None else _software(judged.software),
        "unfit": judged.unfit,
        "neighbour": None if judged.neighbour is None else vars(judged.neighbour),
    }


def _software(found: SoftwareFinding) -> dict[str, Any]:
    return {
        "state": found.state,
        "told": found.told,
        "states": {each.state: asdict(each) | {"plausible": each.plausible} for each in found.states},
        "decides": None if found.decides is None else found.decides.name,
        "without": [asdict(each) for each in found.mechanisms],
    }


def _need(decider: ClaimDecider) -> dict[str, Any]:
    quantity = decider.quantity
    return {
        "number": f"{decider.owner}.{decider.path}",
        "kind": quantity.kind,
        "unit": quantity.unit,
        "value": quantity.value,
        "low": quantity.low,
        "high": quantity.high,
        "needed": decider.needed,
        "at_low": decider.at_low,
        "at_high": decider.at_high,
        "source": quantity.source,
    }
