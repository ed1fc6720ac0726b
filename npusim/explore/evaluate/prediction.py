"""The prediction of a claim: value, interval, and the probability that it holds, from draws of all ranged numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from npusim.answers.unexplained import unexplained
from npusim.explore.evaluate.proposal import Claim
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.mapping.deployment import Deployment
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, simulate
from npusim.serving.uncertainty import drawn_engines, drawn_metrics, interval
from npusim.workload.arrivals import parse_arrival
from npusim.workload.prompts import random_prompts

DRAWS = 64
_REQUESTS_PER_USER = 3


@dataclass(frozen=True)
class ClaimPrediction:
    """value, low, high: the figure and its 90 % interval, in the metric's unit; probability: that the claim holds.

    draws: the figure on each drawn machine; unexplained: 90 % half-width of the logarithm that a calibration leaves,
    the largest of any shipped one where the architecture has none.
    """

    value: float
    low: float
    high: float
    probability: float
    draws: int
    unexplained: float


def load_of_claim(claim: Claim) -> Load:
    """The serving run of a claim: closed loop, prompts that share nothing."""
    requests = _REQUESTS_PER_USER * claim.users
    return Load(claim.isl, claim.osl, parse_arrival("closed", claim.users), random_prompts(requests, claim.isl))


def predict_claim(claim: Claim, deployment: Deployment, seed: int) -> ClaimPrediction:
    """Predict `claim` on the proposal's own machine and on DRAWS drawn ones. Raises DoesNotFit."""
    load = load_of_claim(claim)
    value = claimed_figure(claim, measure(simulate(deployment, load, seed)))
    drawn = [claimed_figure(claim, run) for run in drawn_metrics(load, drawn_engines(deployment, seed, DRAWS), seed)]
    width = unexplained(deployment.calibration, claim.figure)
    low, high = interval(value, drawn, width)
    return ClaimPrediction(value, low, high, probability(claim, drawn, width), len(drawn), width)


def claimed_figure(claim: Claim, metrics: RunMetrics) -> float:
    """The claim's metric of a run; NaN where a request was refused."""
    if not metrics.fits:
        return math.nan
    return float(metrics[claim.figure])


def probability(claim: Claim, drawn: Sequence[float], half_width: float) -> float:
    """Part of the draws on which the claim holds, each spread by the unexplained part (log-normal).

    half_width: of the logarithm, 90 %. The claim fails on a machine on which the run has no figure.
    """
    figures = np.array(drawn)
    known = figures[np.isfinite(figures)]
    if not len(figures):
        return 0.0
    margin = np.log(known / claim.value) * (1.0 if claim.wants_more else -1.0)
    sigma = half_width / float(norm.ppf(0.5 + RANGE_COVERAGE / 2.0))
    holds = norm.cdf(margin / sigma) if sigma > 0.0 else (margin >= 0.0).astype(float)
    return float(holds.sum() / len(figures))
