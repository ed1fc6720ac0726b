"""The power limiter of a chip over time: it acts and recovers with a time constant."""

from __future__ import annotations

import math


class PowerLimiter:
    """How far a limiter has pulled the clock to the one that the power limit allows: 0 at rest, 1 when settled.

    First order: it approaches 1 with the time constant `time_s` while steps would exceed the limit, else 0. A time
    constant of 0 or NaN (unknown) settles at once.
    """

    def __init__(self, time_s: float) -> None:
        self._time_s = time_s
        self._share = 0.0 if time_s > 0.0 else 1.0

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

    def elapse(self, seconds: float, clock: float) -> None:
        """`seconds` pass with steps whose settled clock is `clock`, a fraction of the full one."""
        if not self.is_still:
            target = 0.0 if math.isclose(clock, 1.0) else 1.0
            self._share = target + (self._share - target) * math.exp(-seconds / self._time_s)
