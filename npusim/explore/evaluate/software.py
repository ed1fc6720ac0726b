"""A claim under each state of the software, and the mechanism of tuned software on which it hangs.

What a claim does not tell of its software is open: a vendor runs its own, a lab what was shipped to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.figures import point_of
from npusim.explore.evaluate.prediction import AskedPrediction, ClaimPrediction, predict_claim
from npusim.hardware.states import AS_LABS_RAN, OPEN, STATES, TUNED, State
from npusim.mapping.deployment import Deployment
from npusim.words import Phrase, Say

PLAUSIBLE_FROM = 0.05
"""Probability below which a claim lies beyond the 90 % of a state, on the side to which it goes."""
_PLAUSIBILITY = AskedPrediction((PLAUSIBLE_FROM,), ("implausible", "plausible"))


@dataclass(frozen=True)
class UnderState:
    """A claim under one state of the software. inside: whether the claimed value lies in the 90 % interval."""

    state: State
    value: float
    low: float
    high: float
    probability: float
    inside: bool

    @property
    def plausible(self) -> bool:
        return self.probability >= PLAUSIBLE_FROM


@dataclass(frozen=True)
class WithoutMechanism:
    """The figure under tuned software that lacks one mechanism."""

    name: str
    does: str
    figure: float


@dataclass(frozen=True)
class SoftwareFinding:
    """state, told: of the software under which the claim is judged; states: the claim under each; mechanisms: of tuned
    software, those that help the claim most first."""

    state: State
    told: bool
    states: tuple[UnderState, ...]
    mechanisms: tuple[WithoutMechanism, ...]

    def under(self, state: State) -> UnderState:
        return next(each for each in self.states if each.state == state)

    @property
    def decides(self) -> WithoutMechanism | None:
        """The mechanism that helps most, where tuned software makes the claim plausible and what labs ran does not."""
        parted = self.under(TUNED).plausible and not self.under(AS_LABS_RAN).plausible
        return self.mechanisms[0] if parted and self.mechanisms else None

    def text(self, say: Say) -> str:
        """What the states say of the claim, in one line."""
        chances = {
            state.replace("-", "_"): _chance(self.under(state).probability) for state in (AS_LABS_RAN, TUNED, OPEN)
        }
        judged = _VERDICTS[self.under(AS_LABS_RAN).plausible, self.under(TUNED).plausible].in_words_of(say)
        told = say(
            "Software: {judged} (it holds with {as_labs_ran} as labs ran it, {tuned} tuned, {open} open)",
            judged=judged,
            **chances,
        )
        if self.decides is None:
            return f"{told}."
        return say(
            "{told}; {mechanism} decides: tuned without it, the figure would be {figure}.",
            told=told,
            mechanism=self.decides.name,
            figure=f"{self.decides.figure:,.4g}",
        )


_VERDICTS = {
    (True, True): Phrase("plausible in every state"),
    (False, True): Phrase("plausible with tuned software, implausible as labs ran it"),
    (True, False): Phrase("plausible as labs ran it alone"),
    (False, False): Phrase("implausible in both states"),
}


def software_finding(claim: Claim, deployment: Deployment, known: ClaimPrediction, seed: int) -> SoftwareFinding | None:
    """The claim under each state; None where only what the runtime does is described. known: under the judged one."""
    used = deployment.software
    if used is None or claim.is_peak or claim.baseline is not None:
        return None
    found = []
    for state in STATES:
        other = _running(deployment, state)
        own = known if state == used.state else predict_claim(claim, other, seed, asked=_PLAUSIBILITY)
        inside = own.low <= claim.value <= own.high
        found.append(UnderState(state, own.value, own.low, own.high, own.probability, inside))
    mechanisms = _mechanisms(claim, _running(deployment, TUNED), seed)
    return SoftwareFinding(used.state, used.told, tuple(found), mechanisms)


def _running(deployment: Deployment, state: State) -> Deployment:
    used = deployment.software
    assert used is not None
    return deployment.running(replace(used, state=state))


def _mechanisms(claim: Claim, tuned: Deployment, seed: int) -> tuple[WithoutMechanism, ...]:
    used = tuned.software
    assert used is not None
    whole = point_of(claim, tuned, seed)
    found = []
    for mechanism in used.description.mechanisms:
        without = tuned.running(used.without(mechanism.name))
        figure = point_of(claim, without, seed)
        found.append(WithoutMechanism(mechanism.name, mechanism.does, figure))
    sign = 1.0 if claim.wants_more else -1.0
    moving = [each for each in found if math.isfinite(each.figure) and each.figure != whole]
    return tuple(sorted(moving, key=lambda each: sign * each.figure))


def _chance(probability: float) -> str:
    return f"{100.0 * probability:.0f} %"
