"""The power limiter of a chip over time: it acts and recovers with a time constant."""

from __future__ import annotations

import math

from npusim.engine.stepcost import StepCost, interpolated

_BISECTIONS = 20
"""Halvings of the range of shares: it is then known to one part in a million."""


class PowerLimiter:
    """How far a limiter has pulled the clock to the one that the power limit allows: 0 at rest, 1 when settled.

    First order: it approaches 1 with the time constant `time_s` while steps would exceed the limit, else 0; and it is
    never behind what keeps power, averaged with the time constant `window_s`, at `cap_w` or below. A time constant of 0
    or NaN (unknown) settles at once, a window of NaN is that of the limiter. rest_w: power before the first step.
    """

    def __init__(self, time_s: float, window_s: float = math.nan, cap_w: float = math.inf, rest_w: float = 0.0) -> None:
        self._time_s = time_s
        self._share = 0.0 if time_s > 0.0 else 1.0
        self._window_s = time_s if math.isnan(window_s) else window_s
        self._cap_w = cap_w
        self._seen_w = rest_w

    @property
    def is_still(self) -> bool:
        """Whether it has settled for good."""
        return not self._time_s > 0.0

    def mean(self, seconds: float) -> float:
        """Mean share over the next `seconds` of steps that would exceed the limit."""
        if self.is_still:
            return 1.0
        constants = seconds / self._time_s
        return 1.0 - (1.0 - self._share) * -math.expm1(-constants) / constants

    def share(self, rested: StepCost, settled: StepCost) -> float:
        """How far it has come on average over a step that takes one or the other cost at either end."""
        share = self.mean(settled.time_s)
        if self.is_still or not self._exceeds(interpolated(rested, settled, share)):
            return share
        low, high = share, 1.0
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if self._exceeds(interpolated(rested, settled, middle)):
                low = middle
            else:
                high = middle
        return high

    def _exceeds(self, cost: StepCost) -> bool:
        return self._seen_after(cost.time_s, cost.power_w) > self._cap_w

    def elapse(self, seconds: float, watts: float, held: bool) -> None:
        """`seconds` pass at a mean of `watts` in steps that the limit holds back, once it has settled, or does not."""
        if not self.is_still:
            target = 1.0 if held else 0.0
            self._share = target + (self._share - target) * math.exp(-seconds / self._time_s)
            self._seen_w = self._seen_after(seconds, watts)

    def _seen_after(self, seconds: float, watts: float) -> float:
        """The averaged power after that."""
        return watts + (self._seen_w - watts) * math.exp(-seconds / self._window_s)
