"""A proposal from its file to its evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from npusim.errors import DoesNotFit
from npusim.explore.evaluate.credibility import Factor, credibility
from npusim.explore.evaluate.deciders import ClaimDecider, claim_deciders
from npusim.explore.evaluate.decision import Judged, Judgement
from npusim.explore.evaluate.evidence import withheld
from npusim.explore.evaluate.fixed_times import fixed_times
from npusim.explore.evaluate.limits import claim_findings
from npusim.explore.evaluate.neighbour import nearest
from npusim.explore.evaluate.placing import claim_deployment, goodness_on
from npusim.explore.evaluate.prediction import baseline_of, point_of, predict_claim
from npusim.explore.evaluate.proposal import Claim, Proposal, architecture_of
from npusim.explore.evaluate.readings import PROMPTS, SOFTWARE, Readings, chosen, readings, told_conditions
from npusim.explore.evaluate.software import SoftwareFinding, software_finding
from npusim.explore.evaluate.unmoved import UnmovedNumber, unmoved_numbers
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import Deployment, deploy
from npusim.metric_names import told_as
from npusim.metrics import TABLE_COLUMN
from npusim.workload.catalog import shipped_models


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
        found, deployment = _judged(claim, arch, proposal, seed)
        judged.append(found)
        deployments.append(deployment)
    runs = [(each.claim, where) for each, where in zip(judged, deployments, strict=True) if not each.claim.is_peak]
    unmoved = unmoved_numbers(arch, [claim for claim, _ in runs], [where for _, where in runs], seed)
    return Evaluation(proposal, arch, judged, deployments, credibility(deployments[0], judged), unmoved)


def _judged(claim: Claim, arch: str, proposal: Proposal, seed: int) -> tuple[Judged, Deployment]:
    asked = _of_chip(claim, arch, proposal) if claim.is_peak else _of_run(claim, arch, proposal)
    deployment = _deployment(asked.assumed, arch)
    reading = _judge(asked.assumed, arch, deployment, seed)
    extremes = [each for each in dict.fromkeys((asked.best, asked.worst)) if each != asked.assumed]
    others = tuple(_judge(each, arch, _deployment(each, arch), seed) for each in extremes)
    found, value = reading.prediction, math.nan if reading.prediction is None else reading.prediction.value
    near = nearest(asked.assumed, deployment)
    width = 0.0 if found is None else found.unexplained
    deciding = None if found is None else claim_deciders(asked.assumed, deployment, value, width)
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


def _deployment(claim: Claim, arch: str) -> Deployment:
    if claim.is_peak:
        return deploy(arch, claim.served_model, cards=claim.cards, runtime=claim.runtime)
    return claim_deployment(claim, arch)


def _singly(asked: Readings, arch: str, value: float, seed: int) -> Iterator[tuple[str, Any, float]]:
    """The figure with one open condition at another value, from estimates relative to the reading that is assumed."""
    own = goodness_on(arch, asked.assumed) if asked.singly else 0.0
    for name, other, reading in asked.singly:
        if name in (PROMPTS, SOFTWARE):
            yield name, other, point_of(reading, _deployment(reading, arch), seed)
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


def _claim_json(judged: Judged) -> dict[str, Any]:
    claim, prediction = judged.claim, judged.prediction
    least, most = judged.span
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
        "probability_low": least,
        "probability_high": most,
        "draws": 0 if prediction is None else prediction.draws,
        "draws_without_room": 0 if prediction is None else prediction.failed,
        "decision": judged.decision,
        "undecided_between": list(judged.undecided),
        "withheld": [str(reason) for reason in judged.withheld],
        "conditions": _conditions_json(judged),
        "needs": [_need(decider) for decider in judged.deciders],
        "groups": [asdict(group) for group in judged.groups],
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
        "neighbour": None
        if judged.neighbour is None
        else asdict(judged.neighbour) | {"far": list(judged.neighbour.far), "distance": judged.neighbour.distance},
    }


def _conditions_json(judged: Judged) -> dict[str, Any]:
    names = ("runtime", "precision", "kv_precision", "cards", "isl", "osl", "users", PROMPTS, SOFTWARE)
    return {
        "told": dict(judged.told),
        "open": {name: list(values) for name, values in judged.open.items()},
        "assumed": {name: chosen(judged.claim, name) for name in names if name not in judged.told},
        "readings": [
            {
                **{name: chosen(each.claim, name) for name in judged.open},
                "predicted": None if each.prediction is None else each.prediction.value,
                "probability": each.probability,
            }
            for each in (judged.reading, *judged.extremes)
        ],
        "singly": [
            {"condition": name, "value": value, "estimated": None if math.isnan(figure) else figure}
            for name, value, figure in judged.singly
        ],
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
        "is_count": decider.is_count,
        "at_low": decider.at_low,
        "at_high": decider.at_high,
        "gain_bits": decider.gain,
        "source": quantity.source,
    }
