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
from npusim.explore.evaluate.placing import placed
from npusim.explore.evaluate.proposal import ALIKE, USERS_AT_SLO, Claim
from npusim.hardware.catalog import load_system
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.mapping.deployment import Deployment
from npusim.metrics import METRICS, metric, resolve
from npusim.serving.decision import Decision, decide
from npusim.serving.joint import JointDraws, run_draws
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import Load, ServingEngine, simulate
from npusim.serving.uncertainty import drawn_engines, interval
from npusim.serving.unexplained import unexplained
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
