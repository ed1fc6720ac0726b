"""The claimed figure of one machine: of a run that is simulated, of users at an SLO, or of the chip itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from npusim.errors import DoesNotFit
from npusim.explore.evaluate.claim import ALIKE, USERS_AT_SLO, Claim
from npusim.explore.evaluate.estimated import follows, ratios_on
from npusim.explore.evaluate.peaks import PEAKS, operand_of
from npusim.mapping.deployment import Deployment
from npusim.metric_names import resolve
from npusim.metrics import METRICS
from npusim.serving.load import Load, make_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import ServingEngine, simulate
from npusim.serving.slo import most_users
from npusim.workload.arrivals import parse_arrival
from npusim.workload.lengths import Lengths, parse_spreads

_REQUESTS_PER_USER = 3
_MOST_USERS = 4096
_FINE = 16
"""Part of itself to which a number of users is found."""


def load_of_claim(claim: Claim) -> Load:
    """The serving run of a claim: closed loop, prompts that share nothing unless it tells that all are alike."""
    isl, osl, users = claim.load
    alike = claim.prompts == ALIKE
    count = _REQUESTS_PER_USER * users
    of_prompt, of_answer = parse_spreads(claim.lengths, "lengths")
    arrival = parse_arrival("closed", users)
    return make_load(Lengths(isl, of_prompt), Lengths(osl, of_answer), arrival, count, seed=0, alike=alike, warm=alike)


def runs_on(
    claim: Claim, where: Deployment, own: RunMetrics, drawn: Sequence[tuple[Deployment, ServingEngine]], seed: int
) -> list[RunMetrics | None]:
    """The run on every drawn machine, None on one that cannot hold the model.

    Where an estimate follows the claimed figure, each figure is that of the run on the described machine times its
    estimate on the drawn one over that on the described one: a closed loop repeats two steps, a prompt and a decode
    step. Else the run is simulated on each.
    """
    if follows(claim) is None:
        return [_simulated(claim, each, engine, seed) for each, engine in drawn]
    estimates = {row.name: row.follows for row in METRICS if row.follows is not None and row.name in own.figures}
    ratios = ratios_on(claim, where, [each for each, _ in drawn], estimates)
    fits = np.isfinite(ratios[claim.figure])
    return [
        replace(own, figures={**own.figures, **{name: own[name] * float(of[index]) for name, of in ratios.items()}})
        if fits[index]
        else None
        for index in range(len(drawn))
    ]


def _simulated(claim: Claim, where: Deployment, engine: ServingEngine, seed: int) -> RunMetrics | None:
    try:
        return measure(simulate(where, load_of_claim(claim), seed, engine))
    except DoesNotFit:
        return None


def figure_on(
    claim: Claim, where: Deployment, engine: ServingEngine | None, seed: int, near: float = math.nan
) -> float:
    """The figure of one machine; NaN where it cannot hold the model. Without an engine raises DoesNotFit instead.

    near: that of a like machine, from which users at an SLO are sought.
    """
    if claim.is_peak:
        return peak_of(claim, where)
    try:
        if claim.figure == USERS_AT_SLO:
            start = max(1, round(near)) if math.isfinite(near) else 1
            return _users_at_slo(claim, where, engine, seed, start)
        return claimed_figure(claim, measure(simulate(where, load_of_claim(claim), seed, engine)))
    except DoesNotFit:
        if engine is None:
            raise
        return math.nan


def point_of(claim: Claim, deployment: Deployment, seed: int) -> float:
    """The figure on the proposal's own machine; NaN where that cannot hold the model."""
    try:
        return figure_on(claim, deployment, None, seed)
    except DoesNotFit:
        return math.nan


def peak_of(claim: Claim, where: Deployment) -> float:
    """A figure of the chip itself, of all the claim's cards."""
    operand = operand_of(where.system, claim.precision, claim.name)
    return PEAKS[claim.figure].of(
        where.system, where.machine[0], where.plan.cards * where.system.chips_per_card, operand
    )


def _users_at_slo(claim: Claim, where: Deployment, engine: ServingEngine | None, seed: int, start: int) -> float:
    """The most users at which every limit is kept, 0 for none."""

    def keeps(users: int) -> bool:
        run = measure(simulate(where, load_of_claim(claim.model_copy(update={"users": users})), seed, engine))
        return run.fits and all(run[resolve(name)] <= limit for name, limit in claim.slo)

    return float(most_users(keeps, start, _MOST_USERS, _FINE))


def claimed_figure(claim: Claim, metrics: RunMetrics) -> float:
    """The claim's metric of a run; NaN where a request was refused."""
    if not metrics.fits:
        return math.nan
    return float(metrics[claim.figure])
