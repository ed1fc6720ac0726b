"""A claim's figure on drawn machines, batch by batch, whatever limit is asked of it: one set of draws serves the claim,
the targets of all years and the comparison of proposals.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from npusim.errors import DoesNotFit
from npusim.explore.evaluate.claim import USERS_AT_SLO, Claim
from npusim.explore.evaluate.estimated import follows, ratios_on
from npusim.explore.evaluate.figures import claimed_figure, figure_on, load_of_claim, point_of, runs_on
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.mapping.deployment import Deployment
from npusim.metric_names import metric, resolve
from npusim.serving.joint import SPREAD, JointDraws, drawn_errors, run_draws
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.serving.uncertainty import drawn_engines, interval
from npusim.serving.unexplained import unexplained

DRAWS = 64
"""Machines of a batch."""
Baselined = tuple[Claim, Deployment]
"""A run that a ratio is to, told in full, and where it runs."""


class FigureDraws(ABC):
    """value: the figure on the proposal's own machine; unexplained: 90 % half-width of its logarithm that no number
    explains."""

    value: float
    unexplained: float

    def __init__(self) -> None:
        self._batches: list[np.ndarray] = []

    @abstractmethod
    def _next(self, batch: int) -> np.ndarray:
        """The figures of that batch."""

    def figures(self, batch: int) -> np.ndarray:
        """The figure on each machine of the batch under each drawn error, float64 (DRAWS, SPREAD) or (DRAWS, 1) where
        no error is drawn; NaN on a machine that cannot hold the model or refuses a request."""
        while len(self._batches) <= batch:
            self._batches.append(self._next(len(self._batches)))
        return self._batches[batch]

    @property
    def failed(self) -> int:
        """Machines without a figure, so far."""
        return sum(int(np.isnan(each).all(axis=1).sum()) for each in self._batches)

    def spread(self, batch: int) -> np.ndarray:
        """The figure under drawn errors throughout, float64 (DRAWS, SPREAD)."""
        return np.broadcast_to(self.figures(batch), (DRAWS, SPREAD))

    @abstractmethod
    def parts(self, claim: Claim, batch: int) -> np.ndarray:
        """Of each machine of the batch the part of its draws on which the limit of `claim` holds, (DRAWS,)."""

    @abstractmethod
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the figure over all batches so far."""


class _RunDraws(FigureDraws):
    """Joint draws of one run, as intervals of runs are made of them."""

    def __init__(self, claim: Claim, deployment: Deployment, seed: int) -> None:
        super().__init__()
        self._claim, self._deployment, self._seed, self._load = claim, deployment, seed, load_of_claim(claim)
        self._own = measure(simulate(deployment, self._load, seed))
        self.value = claimed_figure(claim, self._own)
        self.unexplained = unexplained(deployment.calibration, claim.figure)

    def _next(self, batch: int) -> np.ndarray:
        claim, seed = self._claim, self._seed + batch
        drawn = list(drawn_engines(self._deployment, seed, DRAWS))
        runs = runs_on(claim, self._deployment, self._own, drawn, seed)
        serving = np.array([run is not None and run.fits for run in runs])
        figures = np.full((len(runs), SPREAD), math.nan)
        if serving.any() and self._own.fits:
            known = [run for run in runs if run is not None and run.fits]
            figures[serving] = run_draws(self._deployment, self._load, self._own, known, seed).drawn[claim.figure]
        return figures

    def parts(self, claim: Claim, batch: int) -> np.ndarray:
        figures = self.figures(batch)
        return np.asarray(figures >= claim.value if claim.wants_more else figures <= claim.value, float).mean(axis=1)

    def interval(self) -> tuple[float, float]:
        known = [each[~np.isnan(each).all(axis=1)] for each in self._batches]
        if not sum(map(len, known)):
            return math.nan, math.nan
        figure = self._claim.figure
        return JointDraws({figure: self.value}, {figure: np.concatenate(known)}).interval(figure)


class _RatioDraws(FigureDraws):
    """Draws of a ratio of two runs, of users at an SLO, or of a figure of the chip itself."""

    def __init__(self, claim: Claim, deployment: Deployment, base: Baselined | None, seed: int) -> None:
        super().__init__()
        self._claim, self._runs, self._seed = claim, _runs(claim, deployment, base), seed
        self.value = _over(claim, *(figure_on(each, where, None, seed) for each, where in self._runs))
        self.unexplained = _half_width(claim, deployment, base)

    def _next(self, batch: int) -> np.ndarray:
        columns = (_drawn_figures(each, where, self._seed + batch) for each, where in self._runs)
        return np.array([[_over(self._claim, *both)] for both in zip(*columns, strict=True)])

    def spread(self, batch: int) -> np.ndarray:
        errors = drawn_errors({"": self.unexplained}, DRAWS, self._seed + batch)[""]
        return np.asarray(self.figures(batch) * errors)

    def parts(self, claim: Claim, batch: int) -> np.ndarray:
        return holding(claim, self.figures(batch)[:, 0].tolist(), self.unexplained)

    def interval(self) -> tuple[float, float]:
        return interval(self.value, np.concatenate(self._batches).ravel().tolist(), self.unexplained)


def draws_of(claim: Claim, deployment: Deployment, base: Baselined | None, seed: int) -> FigureDraws:
    """The draws of a claim's figure; base: what a ratio is to. Raises DoesNotFit."""
    if base is None and not claim.is_peak and claim.figure != USERS_AT_SLO:
        return _RunDraws(claim, deployment, seed)
    return _RatioDraws(claim, deployment, base, seed)


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
        return np.array([figure_on(claim, each, engine, seed, near) for each, engine in drawn])
    try:
        centre = figure_on(claim, where, None, seed)
    except DoesNotFit:
        return np.full(len(drawn), math.nan)
    known = follows(claim)
    assert known is not None
    return centre * ratios_on(claim, where, [each for each, _ in drawn], {claim.figure: known})[claim.figure]


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
