"""From prediction, bounds and deciding numbers to a decision: accept, conditional, or reject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from npusim.bounds.finding import IMPOSSIBLE, Finding, gravest
from npusim.explore.evaluate.deciders import ClaimDecider
from npusim.explore.evaluate.fixed_times import FixedTimes
from npusim.explore.evaluate.prediction import ClaimPrediction
from npusim.explore.evaluate.proposal import Claim
from npusim.explore.evaluate.software import SoftwareFinding

Decision = Literal["accept", "conditional", "reject"]
ACCEPT_FROM = 0.9
REJECT_BELOW = 0.1


@dataclass(frozen=True)
class Neighbour:
    """The nearest chip with measured runs: its predicted figure for the same run, and what it is calibrated to.

    value: None where the claim's model does not fit it; bandwidth_ratio, peak_ratio: proposal's over its own.
    """

    name: str
    title: str
    calibration: str
    value: float | None
    low: float | None
    high: float | None
    bandwidth_ratio: float
    peak_ratio: float


@dataclass(frozen=True)
class Judged:
    """A claim judged. prediction: None where the model does not fit, with the reason in `unfit`.

    together: what all fixed times would have to be, where no number alone makes the claim hold; software: the claim
    under each state of it.
    """

    claim: Claim
    prediction: ClaimPrediction | None
    unfit: str
    findings: Sequence[Finding]
    deciders: Sequence[ClaimDecider]
    neighbour: Neighbour | None
    together: FixedTimes | None = None
    software: SoftwareFinding | None = None

    @property
    def broken(self) -> list[Finding]:
        """The bounds that even the most favourable terms break."""
        return [found for found in self.findings if found.verdict == IMPOSSIBLE]

    @property
    def tightest(self) -> Finding | None:
        return gravest(self.findings)

    @property
    def probability(self) -> float:
        return 0.0 if self.prediction is None or self.broken else self.prediction.probability

    @property
    def decision(self) -> Decision:
        """Reject what breaks a bound, does not fit, or hardly ever holds; accept what nearly always does; the rest is
        conditional on measuring the numbers that decide it."""
        if self.broken or self.prediction is None or self.probability < REJECT_BELOW:
            return "reject"
        return "accept" if self.probability >= ACCEPT_FROM else "conditional"
