"""A claim told in full on its chips: under the plan that it names, or the one that is best for what it claims."""

from __future__ import annotations

import math
from functools import partial

from npusim.errors import UserError
from npusim.explore.evaluate.claim import LATENCIES, USERS_AT_SLO, Claim
from npusim.inputs import remembered_last
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.plan import all_plans
from npusim.metric_names import inverses, resolve
from npusim.serving.planning import ClosedLoop, best_loop

_KEPT = 256
_MOST_USERS = 4096


@remembered_last(_KEPT)
def claim_deployment(claim: Claim, arch: str) -> Deployment:
    """The deployment of a claim told in full. Raises UserError, DoesNotFit where no plan on its cards has room."""
    return _best(claim, arch)[0]


def deployment_of(claim: Claim, arch: str) -> Deployment:
    """Where a claim told in full runs; a figure of the chip itself needs no plan. Raises UserError, DoesNotFit."""
    if claim.is_peak:
        return deploy(arch, claim.served_model, cards=claim.cards, runtime=claim.runtime)
    return claim_deployment(claim, arch)


def goodness_on(arch: str, claim: Claim) -> float:
    """How favourable a reading is, as the logarithm of an estimate of its figure over the claim; -inf without room."""
    try:
        found, figure = _scored(claim, arch)
    except UserError:
        return -math.inf
    if figure is None:
        figure = _estimated(claim, found)[0]
    margin = math.log(max(figure, 1e-30) / claim.value)
    return margin if claim.wants_more else -margin


@remembered_last(_KEPT)
def _scored(claim: Claim, arch: str) -> tuple[Deployment, float | None]:
    return _best(claim, arch)


def _best(claim: Claim, arch: str) -> tuple[Deployment, float | None]:
    """The deployment, and an estimate of its figure where plans were compared."""
    isl, osl, _ = claim.load
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
    base = deployed(cards=claim.cards, tensor_parallel=1, tokens=isl + osl)
    plans = [
        plan
        for plan in all_plans(base.system, base.model, claim.cards or 1)
        if plan.cards == claim.cards and base.fitting.recommends(plan, isl + osl)
    ]
    if len(plans) < 2:
        return (base.under(plans[0]) if plans else deployed(cards=claim.cards, tokens=isl + osl)), None
    scored = [(where, *_estimated(claim, where)) for where in map(base.under, plans)]
    best, figure, _ = max(scored, key=lambda each: each[2])
    return best, figure


def _estimated(claim: Claim, where: Deployment) -> tuple[float, float]:
    """An estimate of the claimed figure, and how good the plan is for it: of watts, by the throughput that a proposer
    would run them for."""
    if claim.figure == USERS_AT_SLO:
        users = _users_kept(claim, where)
        return users, users
    _, loop = best_loop(where, *claim.load)
    figure = _figure(claim, loop)
    if claim.figure.startswith("power_w"):
        return figure, loop.output_tokens_per_s
    more = claim.wants_more != (claim.baseline is not None and _less_is_better(claim))
    return figure, figure if more else -figure


def _users_kept(claim: Claim, where: Deployment) -> float:
    """Users at whom closed forms keep every limit, to a power of two; below one, the part to which one user does."""
    isl, osl, _ = claim.load

    def kept(users: int) -> float:
        _, loop = best_loop(where, isl, osl, users)
        return min(limit / _latency(resolve(name), loop, osl) for name, limit in claim.slo)

    users, part = 1, kept(1)
    while part >= 1.0 and users < _MOST_USERS and kept(2 * users) >= 1.0:
        users *= 2
    return float(users) if part >= 1.0 else part


def _less_is_better(claim: Claim) -> bool:
    return claim.figure in LATENCIES


def _figure(claim: Claim, score: ClosedLoop) -> float:
    """An estimate of the claimed figure from the two costs of a plan."""
    isl, osl, _ = claim.load
    latency = inverses(claim.figure)
    if latency in LATENCIES:
        figure = _latency(latency, score, osl)
        return figure if latency == claim.figure else 1e3 / figure
    if claim.figure == "tokens_per_joule":
        return score.tokens_per_joule
    if claim.figure.startswith("power_w"):
        return score.output_tokens_per_s / score.tokens_per_joule
    scale = {"total_tokens_per_s": (isl + osl) / osl, "requests_per_s": 1.0 / osl}.get(claim.figure, 1.0)
    return score.output_tokens_per_s * scale


def _latency(name: str, score: ClosedLoop, osl: int) -> float:
    """Milliseconds of a first token, of a whole answer, or else of a further token."""
    if name.startswith("ttft"):
        return score.ttft_ms
    return score.ttft_ms + (osl - 1) * score.tpot_ms if name.startswith("e2e") else score.tpot_ms
