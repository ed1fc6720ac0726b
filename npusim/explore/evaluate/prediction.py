"""The prediction of a claim: value, interval, and the probability that it holds, from draws of all ranged numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from npusim.explore.evaluate.proposal import Claim
from npusim.mapping.deployment import Deployment
from npusim.serving.joint import run_draws
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, simulate
from npusim.serving.uncertainty import drawn_engines, drawn_metrics
from npusim.serving.unexplained import unexplained
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
    """Predict `claim` on the proposal's own machine and on DRAWS drawn ones. Raises DoesNotFit.

    The claim fails on a machine on which a request is refused.
    """
    load = load_of_claim(claim)
    own = measure(simulate(deployment, load, seed))
    runs = drawn_metrics(load, drawn_engines(deployment, seed, DRAWS), seed)
    serving = [run for run in runs if run.fits]
    joint = run_draws(deployment, load, own, serving, seed)
    low, high = joint.interval(claim.figure) if own.fits else (math.nan, math.nan)
    holding = joint.parts(lambda drawn: _holds(claim, drawn[claim.figure])).sum() / len(runs) if runs else 0.0
    width = unexplained(deployment.calibration, claim.figure)
    return ClaimPrediction(claimed_figure(claim, own), low, high, float(holding), len(runs), width)


def _holds(claim: Claim, figures: np.ndarray) -> np.ndarray:
    return figures >= claim.value if claim.wants_more else figures <= claim.value


def claimed_figure(claim: Claim, metrics: RunMetrics) -> float:
    """The claim's metric of a run; NaN where a request was refused."""
    if not metrics.fits:
        return math.nan
    return float(metrics[claim.figure])
