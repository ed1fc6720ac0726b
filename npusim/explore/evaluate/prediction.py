"""The prediction of a claim: value, interval, and the probability that it holds, from draws of all ranged numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from npusim.errors import DoesNotFit
from npusim.explore.evaluate.estimated import follows, ratios_on
from npusim.explore.evaluate.peaks import PEAKS, operand_of
from npusim.explore.evaluate.placing import claim_deployment
from npusim.explore.evaluate.proposal import ALIKE, USERS_AT_SLO, Claim
from npusim.hardware.catalog import load_system
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.mapping.deployment import Deployment
from npusim.metric_names import metric, resolve
from npusim.metrics import METRICS
from npusim.serving.decision import Decision, decide
from npusim.serving.joint import JointDraws, run_draws
from npusim.serving.load import Load, make_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import ServingEngine, simulate
from npusim.serving.slo import most_users
from npusim.serving.uncertainty import drawn_engines, interval
from npusim.serving.unexplained import unexplained
from npusim.workload.arrivals import parse_arrival
from npusim.workload.lengths import Lengths, parse_spreads

DRAWS = 64
MOST_DRAWS = 1024
"""Of draws of one claim; the decision is told as open where they do not settle it."""
ACCEPT_FROM, REJECT_BELOW = 0.9, 0.1
_REQUESTS_PER_USER = 3
_MOST_USERS = 4096
_FINE = 16
"""Part of itself to which a number of users is found."""


@dataclass(frozen=True)
class Asked:
    """What is asked of the probability that a claim holds: answers, one more than there are rising thresholds."""

    thresholds: tuple[float, ...]
    answers: tuple[str, ...]


ACCEPTANCE = Asked((REJECT_BELOW, ACCEPT_FROM), ("reject", "conditional", "accept"))


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
    count = _REQUESTS_PER_USER * users
    of_prompt, of_answer = parse_spreads(claim.lengths, "lengths")
    arrival = parse_arrival("closed", users)
    return make_load(Lengths(isl, of_prompt), Lengths(osl, of_answer), arrival, count, seed=0, alike=alike, warm=alike)


def predict_claim(
    claim: Claim, deployment: Deployment, seed: int, base: Baselined | None = None, asked: Asked = ACCEPTANCE
) -> ClaimPrediction:
    """Predict `claim` on the proposal's own machine and on as many drawn ones as what is asked needs; base: what a
    ratio is to. Raises DoesNotFit.

    The claim fails on a machine that cannot hold the model, or that refuses a request.
    """
    is_run = base is None and not claim.is_peak and claim.figure != USERS_AT_SLO
    batches = _RunBatches(claim, deployment, seed) if is_run else _RatioBatches(claim, deployment, base, seed)
    decision = decide(batches.parts, asked.thresholds, asked.answers, most=MOST_DRAWS)
    low, high = batches.interval()
    return ClaimPrediction(batches.value, low, high, decision, batches.failed, batches.unexplained)


class _RunBatches:
    """Batches of joint draws of one run, as intervals of runs are made of them."""

    def __init__(self, claim: Claim, deployment: Deployment, seed: int) -> None:
        self._claim, self._deployment, self._seed, self._load = claim, deployment, seed, load_of_claim(claim)
        self._own = measure(simulate(deployment, self._load, seed))
        self._drawn: list[np.ndarray] = []
        self.failed, self.value = 0, claimed_figure(claim, self._own)
        self.unexplained = unexplained(deployment.calibration, claim.figure)

    def parts(self, batch: int) -> np.ndarray:
        """Of each machine of the batch the part of its draws on which the claim holds, (DRAWS,)."""
        claim, seed = self._claim, self._seed + batch
        drawn = list(drawn_engines(self._deployment, seed, DRAWS))
        runs = runs_on(claim, self._deployment, self._own, drawn, seed)
        serving = np.array([run is not None and run.fits for run in runs])
        self.failed += int((~serving).sum())
        parts = np.zeros(len(runs))
        if serving.any() and self._own.fits:
            known = [run for run in runs if run is not None and run.fits]
            joint = run_draws(self._deployment, self._load, self._own, known, seed)
            self._drawn.append(joint.drawn[claim.figure])
            parts[serving] = joint.parts(lambda figures: _holds(claim, figures[claim.figure]))
        return parts

    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the figure over all batches."""
        if not self._drawn:
            return math.nan, math.nan
        figure = self._claim.figure
        return JointDraws({figure: self.value}, {figure: np.concatenate(self._drawn)}).interval(figure)


def _holds(claim: Claim, figures: np.ndarray) -> np.ndarray:
    return figures >= claim.value if claim.wants_more else figures <= claim.value


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


class _RatioBatches:
    """Batches of draws of a ratio of two runs, of users at an SLO, or of a figure of the chip itself."""

    def __init__(self, claim: Claim, deployment: Deployment, base: Baselined | None, seed: int) -> None:
        self._claim, self._runs, self._seed = claim, _runs(claim, deployment, base), seed
        self._drawn: list[float] = []
        self.value = _over(claim, *(_figure(each, where, None, seed) for each, where in self._runs))
        self.unexplained = _half_width(claim, deployment, base)

    @property
    def failed(self) -> int:
        """Machines without a figure."""
        return sum(math.isnan(each) for each in self._drawn)

    def parts(self, batch: int) -> np.ndarray:
        """Of each machine of the batch the part of what is unexplained under which the claim holds, (DRAWS,)."""
        columns = (_drawn_figures(each, where, self._seed + batch) for each, where in self._runs)
        figures = [_over(self._claim, *both) for both in zip(*columns, strict=True)]
        self._drawn += figures
        return holding(self._claim, figures, self.unexplained)

    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the figure over all batches."""
        return interval(self.value, self._drawn, self.unexplained)


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


def _drawn_figures(claim: Claim, where: Deployment, seed: int) -> np.ndarray:
    """The figure on every drawn machine, NaN on those that cannot hold the model, float64 (DRAWS,).

    Where an estimate follows the figure, that of each machine over that of the described one stands for the run's: a
    closed loop repeats its two steps, a prompt and a decode step.
    """
    drawn = list(drawn_engines(where, seed, DRAWS))
    if claim.is_peak or follows(claim) is None or claim.figure == USERS_AT_SLO:
        near = point_of(claim, where, seed) if claim.figure == USERS_AT_SLO else math.nan
        return np.array([_figure(claim, each, engine, seed, near) for each, engine in drawn])
    try:
        centre = _figure(claim, where, None, seed)
    except DoesNotFit:
        return np.full(len(drawn), math.nan)
    known = follows(claim)
    assert known is not None
    return centre * ratios_on(claim, where, [each for each, _ in drawn], {claim.figure: known})[claim.figure]


def _figure(claim: Claim, where: Deployment, engine: ServingEngine | None, seed: int, near: float = math.nan) -> float:
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
        return _figure(claim, deployment, None, seed)
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
    return told, claim_deployment(told, other)
