"""The prediction of a claim: value, interval, and the probability that it holds, from draws of all ranged numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from npusim.answers.unexplained import unexplained
from npusim.errors import DoesNotFit
from npusim.explore.evaluate.estimated import follows, relative, relative_on
from npusim.explore.evaluate.peaks import PEAKS, operand_of
from npusim.explore.evaluate.placing import placed
from npusim.explore.evaluate.proposal import ALIKE, USERS_AT_SLO, Claim
from npusim.explore.sweep.machines import Records
from npusim.hardware.catalog import load_system
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import ranged_shared
from npusim.metrics import metric, resolve
from npusim.serving.decision import Decision, decide
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, ServingEngine, simulate
from npusim.serving.uncertainty import drawn_engines, interval
from npusim.workload.arrivals import parse_arrival
from npusim.workload.prompts import identical_prompts, random_prompts

DRAWS = 64
MOST_DRAWS = 1024
"""Of draws of one claim; the decision is told as open where they do not settle it."""
ACCEPT_FROM, REJECT_BELOW = 0.9, 0.1
ANSWERS = ("reject", "conditional", "accept")
_REQUESTS_PER_USER = 3
_MOST_USERS = 4096
_FINE = 16
"""Part of itself to which a number of users is found."""
_RECORDS = ("machine", "runtime_record")


@dataclass(frozen=True)
class ClaimPrediction:
    """value, low, high: the figure and its 90 % interval, in the metric's unit; decision: on the probability that the
    claim holds, drawn until it is settled; failed: draws that cannot hold the model, on which no claim holds.

    unexplained: 90 % half-width of the logarithm that a calibration leaves, the largest of any shipped one where the
    architecture has none.
    """

    value: float
    low: float
    high: float
    decision: Decision
    failed: int
    unexplained: float

    @property
    def probability(self) -> float:
        """That the claim holds."""
        return self.decision.probability

    @property
    def draws(self) -> int:
        """Machines that were drawn."""
        return self.decision.draws


def load_of_claim(claim: Claim) -> Load:
    """The serving run of a claim: closed loop, prompts that share nothing unless it tells that all are alike."""
    isl, osl, users = claim.load
    alike = claim.prompts == ALIKE
    make = identical_prompts if alike else random_prompts
    return Load(isl, osl, parse_arrival("closed", users), make(_REQUESTS_PER_USER * users, isl), warm=alike)


def predict_claim(claim: Claim, deployment: Deployment, seed: int, base: Baselined | None = None) -> ClaimPrediction:
    """Predict `claim` on the proposal's own machine and on drawn ones; base: what a ratio is to. Raises DoesNotFit."""
    width = _half_width(claim, deployment, base)
    drawn: list[float] = []

    def parts(batch: int) -> np.ndarray:
        figures = [_over(claim, *both) for both in _drawn(claim, deployment, base, seed + batch)]
        drawn.extend(figures)
        return holding(claim, figures, width)

    value = _over(claim, *(_figure(each, where, None, seed) for each, where in _runs(claim, deployment, base)))
    decision = decide(parts, (REJECT_BELOW, ACCEPT_FROM), ANSWERS, most=MOST_DRAWS)
    low, high = interval(value, drawn, width)
    return ClaimPrediction(value, low, high, decision, sum(math.isnan(each) for each in drawn), width)


Baselined = tuple[Claim, Deployment]
"""A run that a ratio is to, told in full, and where it runs."""


def _runs(claim: Claim, deployment: Deployment, base: Baselined | None) -> tuple[Baselined, ...]:
    return ((claim, deployment),) if base is None else ((claim, deployment), base)


def _over(claim: Claim, own: float, base: float | None = None) -> float:
    """The claimed figure, or how many times better than the baseline's it is."""
    if base is None:
        return own
    return base / own if less_is_better(claim) else own / base


def less_is_better(claim: Claim) -> bool:
    """Whether the figure is the better the less it is."""
    row = metric(claim.figure)
    return row is not None and row.better == "less"


def _drawn(claim: Claim, deployment: Deployment, base: Baselined | None, seed: int) -> Iterator[tuple[float, ...]]:
    """The figures of DRAWS draws, own and baseline's: of one chip, the same numbers are drawn for both."""
    both = _runs(claim, deployment, base)
    columns = (_drawn_figures(each, where, seed) for each, where in both)
    yield from zip(*columns, strict=True)


def _drawn_figures(claim: Claim, where: Deployment, seed: int) -> np.ndarray:
    """The figure on every drawn machine, NaN on those that cannot hold the model, float64 (DRAWS,).

    Where an estimate follows the figure, that of each machine over that of the described one stands for the run's: a
    closed loop repeats its two steps, a prompt and a decode step.
    """
    drawn = list(drawn_engines(where, seed, DRAWS))
    if claim.is_peak or follows(claim) is None or claim.figure == USERS_AT_SLO:
        return np.array([_figure(claim, each, engine, seed) for each, engine in drawn])
    try:
        centre = _figure(claim, where, None, seed)
    except DoesNotFit:
        return np.full(len(drawn), math.nan)
    if ranged_shared(where):
        ratios = [relative_on(claim, where, each) for each, _ in drawn]
        return centre * np.concatenate(ratios)
    records = Records(*(np.concatenate([getattr(each, name) for each, _ in drawn]) for name in _RECORDS))
    return centre * relative(claim, where, records)


def _figure(claim: Claim, where: Deployment, engine: ServingEngine | None, seed: int) -> float:
    """The figure of one machine; NaN where it cannot hold the model. Without an engine raises DoesNotFit instead."""
    if claim.is_peak:
        return peak_of(claim, where)
    try:
        if claim.figure == USERS_AT_SLO:
            return _users_at_slo(claim, where, engine, seed)
        return claimed_figure(claim, measure(simulate(where, load_of_claim(claim), seed, engine)))
    except DoesNotFit:
        if engine is None:
            raise
        return math.nan


def point_of(claim: Claim, deployment: Deployment, seed: int) -> float:
    """The figure on the proposal's own machine; NaN where that cannot hold the model."""
    try:
        return _figure(claim, deployment, None, seed)
    except DoesNotFit:
        return math.nan


def peak_of(claim: Claim, where: Deployment) -> float:
    """A figure of the chip itself, of all the claim's cards."""
    operand = operand_of(where.system, claim.precision, claim.name)
    return PEAKS[claim.figure].of(
        where.system, where.machine[0], where.plan.cards * where.system.chips_per_card, operand
    )


def _users_at_slo(claim: Claim, where: Deployment, engine: ServingEngine | None, seed: int) -> float:
    """The most users at which every limit is kept, 0 for none: powers of two, then halves between the last two."""

    def keeps(users: int) -> bool:
        run = measure(simulate(where, load_of_claim(claim.model_copy(update={"users": users})), seed, engine))
        return run.fits and all(run[resolve(name)] <= limit for name, limit in claim.slo)

    low, high = 0, 1
    while high <= _MOST_USERS and keeps(high):
        low, high = high, 2 * high
    while high - low > max(1, low // _FINE):
        middle = (low + high) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return float(low)


def _half_width(claim: Claim, deployment: Deployment, base: Baselined | None) -> float:
    """What a calibration leaves unexplained of the figure; of a ratio that of both.

    Two runs of one chip under one calibration are taken to share half the variance of their errors, so that the ratio
    has that of one; two chips share none.
    """
    if claim.is_peak:
        return 0.0
    figures = tuple(resolve(name) for name, _ in claim.slo) if claim.figure == USERS_AT_SLO else (claim.figure,)
    own = max(unexplained(deployment.calibration, figure) for figure in figures)
    if base is None or base[1].system.name == deployment.system.name:
        return own
    return math.hypot(own, max(unexplained(base[1].calibration, figure) for figure in figures))


def holding(claim: Claim, drawn: Sequence[float], half_width: float) -> np.ndarray:
    """Of each draw the part, 0 to 1, of what is unexplained (log-normal) under which the claim holds on it.

    half_width: of the logarithm, 90 %. On a machine without a figure (NaN) the claim fails.
    """
    figures = np.asarray(drawn, dtype=float)
    known = np.isfinite(figures) & (figures > 0.0)
    margin = np.full(len(figures), -math.inf)
    margin[known] = np.log(figures[known] / claim.value) * (1.0 if claim.wants_more else -1.0)
    sigma = half_width / float(norm.ppf(0.5 + RANGE_COVERAGE / 2.0))
    return np.asarray(norm.cdf(margin / sigma) if sigma > 0.0 else (margin >= 0.0).astype(float))


def probability(claim: Claim, drawn: Sequence[float], half_width: float) -> float:
    """The mean of `holding` over the draws; 0 without any."""
    return float(holding(claim, drawn, half_width).mean()) if len(drawn) else 0.0


def claimed_figure(claim: Claim, metrics: RunMetrics) -> float:
    """The claim's metric of a run; NaN where a request was refused."""
    if not metrics.fits:
        return math.nan
    return float(metrics[claim.figure])


def baseline_of(claim: Claim, arch: str) -> Baselined:
    """The run that a ratio is to, told in full, on its chips. Raises UserError."""
    assert claim.baseline is not None
    given = claim.baseline.model_dump(exclude_none=True)
    own = given.pop("architecture", None)
    other = arch if own is None else own
    runtime = given.pop("runtime", None) or (claim.runtime if own is None else load_system(other).runtime)
    plan = given.pop("plan", None)
    told = claim.model_copy(update=given | {"baseline": None, "runtime": runtime, "plan": plan})
    return told, placed(told, other)
