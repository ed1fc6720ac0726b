"""A claim told in full on its chips: under the plan that it names, or the one that is best for what it claims."""

from __future__ import annotations

import math
from functools import partial

from npusim.errors import UserError
from npusim.explore.evaluate.proposal import Claim
from npusim.inputs import remembered_last
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.plan import all_plans
from npusim.metrics import inverses
from npusim.serving.planning import ClosedLoop, best_loop

_KEPT = 256


@remembered_last(_KEPT)
def claim_deployment(claim: Claim, arch: str) -> Deployment:
    """The deployment of a claim told in full. Raises UserError, DoesNotFit where no plan on its cards has room."""
    return _best(claim, arch)[0]


def goodness_on(arch: str, claim: Claim) -> float:
    """How favourable a reading is, as the logarithm of an estimate of its figure over the claim; -inf without room."""
    try:
        found, score = _scored(claim, arch)
    except UserError:
        return -math.inf
    if score is None:
        _, score = best_loop(found, *claim.load)
    margin = math.log(max(_figure(claim, score), 1e-30) / claim.value)
    return margin if claim.wants_more else -margin


@remembered_last(_KEPT)
def _scored(claim: Claim, arch: str) -> tuple[Deployment, ClosedLoop | None]:
    return _best(claim, arch)


def _best(claim: Claim, arch: str) -> tuple[Deployment, ClosedLoop | None]:
    isl, osl, users = claim.load
    assert claim.precision is not None
    deployed = partial(
        deploy,
        arch,
        claim.served_model,
        precision=claim.precision,
        kv_precision=claim.kv_precision,
        runtime=claim.runtime,
        software=claim.software,
    )
    if claim.usable:
        return deployed(plan=claim.usable), None
    base = deployed(cards=claim.cards, tokens=isl + osl)
    plans = [
        plan
        for plan in all_plans(base.system, base.model, claim.cards or 1)
        if plan.cards == claim.cards and base.fitting.holds(plan, isl + osl)
    ]
    if len(plans) < 2:
        return (base.under(plans[0]) if plans else base), None
    scored = [(where, best_loop(where, isl, osl, users)[1]) for where in map(base.under, plans)]
    return max(scored, key=lambda each: _plan_goodness(claim, each[1]))


def _plan_goodness(claim: Claim, score: ClosedLoop) -> float:
    """Of a plan: that of the claim's figure; of watts, the throughput that a proposer would run them for."""
    if claim.figure.startswith("power_w"):
        return score.output_tokens_per_s
    figure = _figure(claim, score)
    return figure if claim.wants_more != (claim.baseline is not None and _less_is_better(claim)) else -figure


def _less_is_better(claim: Claim) -> bool:
    return claim.figure.startswith(("ttft", "tpot", "itl", "e2e"))


def _figure(claim: Claim, score: ClosedLoop) -> float:
    """An estimate of the claimed figure from the two costs of a plan."""
    isl, osl, _ = claim.load
    latency = inverses(claim.figure)
    if latency.startswith("ttft"):
        return score.ttft_ms
    if latency.startswith("e2e"):
        return score.ttft_ms + (osl - 1) * score.tpot_ms
    if latency.startswith(("tpot", "itl")):
        return score.tpot_ms if latency == claim.figure else 1e3 / score.tpot_ms
    if claim.figure == "tokens_per_joule":
        return score.tokens_per_joule
    if claim.figure.startswith("power_w"):
        return score.output_tokens_per_s / score.tokens_per_joule
    scale = {"total_tokens_per_s": (isl + osl) / osl, "requests_per_s": 1.0 / osl}.get(claim.figure, 1.0)
    return score.output_tokens_per_s * scale
