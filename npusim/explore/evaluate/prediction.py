"""The prediction of a claim: value, interval, and the probability that it holds, from draws of all ranged numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.draws import Baselined, FigureDraws, draws_of
from npusim.explore.evaluate.placing import claim_deployment
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import Deployment
from npusim.serving.decision import Decision, decide

MOST_DRAWS = 1024
"""Of draws of one claim; the decision is told as open where they do not settle it."""
ACCEPT_FROM, REJECT_BELOW = 0.9, 0.1


@dataclass(frozen=True)
class AskedPrediction:
    """What is asked of the probability that a claim holds: answers, one more than there are rising thresholds."""

    thresholds: tuple[float, ...]
    answers: tuple[str, ...]


ACCEPTANCE = AskedPrediction((REJECT_BELOW, ACCEPT_FROM), ("reject", "conditional", "accept"))


@dataclass(frozen=True)
class ClaimPrediction:
    """value, low, high: the figure and its 90 % interval, in the metric's unit; decision: on the probability that the
    claim holds, drawn until it is settled; failed: draws that cannot hold the model, on which no claim holds; drawn:
    the figure on drawn machines.
    """

    value: float
    low: float
    high: float
    decision: Decision
    failed: int
    drawn: FigureDraws

    @property
    def probability(self) -> float:
        """That the claim holds."""
        return self.decision.probability

    @property
    def draws(self) -> int:
        """Machines that were drawn."""
        return self.decision.draws

    @property
    def unexplained(self) -> float:
        """90 % half-width of the logarithm that a calibration leaves, the largest of any shipped one where the
        architecture has none."""
        return self.drawn.unexplained

    def against(self, claim: Claim, asked: AskedPrediction = ACCEPTANCE) -> ClaimPrediction:
        """The same figure held against the limit of a claim that differs in nothing else."""
        return replace(self, decision=_decided(claim, self.drawn, asked))


def predict_claim(
    claim: Claim, deployment: Deployment, seed: int, base: Baselined | None = None, asked: AskedPrediction = ACCEPTANCE
) -> ClaimPrediction:
    """Predict `claim` on the proposal's own machine and on as many drawn ones as what is asked needs; base: what a
    ratio is to. Raises DoesNotFit.

    The claim fails on a machine that cannot hold the model, or that refuses a request.
    """
    drawn = draws_of(claim, deployment, base, seed)
    decision = _decided(claim, drawn, asked)
    low, high = drawn.interval()
    return ClaimPrediction(drawn.value, low, high, decision, drawn.failed, drawn)


def _decided(claim: Claim, drawn: FigureDraws, asked: AskedPrediction) -> Decision:
    return decide(partial(drawn.parts, claim), asked.thresholds, asked.answers, most=MOST_DRAWS)


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
