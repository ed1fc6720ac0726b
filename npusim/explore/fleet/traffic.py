"""What a profile asks of a fleet: requests a second over a day and at its peak, and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npusim.errors import UserError
from npusim.explore.fleet.requests import length_means
from npusim.workload.profile import HOURS, SECONDS_PER_HOUR, Profile

Asks = Callable[[Profile], "FleetDemand"]
"""What a service asks for under a profile."""


@dataclass(frozen=True)
class FleetDemand:
    """requests_per_s: mean of each hour of a day, float64 (24,); peak_per_s: of the busiest minutes; prompt, output:
    mean tokens of a request."""

    requests_per_s: np.ndarray
    peak_per_s: float
    prompt: float
    output: float

    @property
    def requests_per_day(self) -> float:
        return float(self.requests_per_s.sum()) * SECONDS_PER_HOUR


@dataclass(frozen=True)
class OfUsers:
    """What `users` users ask for."""

    users: float

    def __call__(self, profile: Profile) -> FleetDemand:
        """Raises UserError for a profile without traffic."""
        return _of_users(profile, self.users)


@dataclass(frozen=True)
class OfTokens:
    """Output tokens that are wanted a day, at any time of it."""

    per_day: float

    def __call__(self, profile: Profile) -> FleetDemand:
        prompt, output = length_means(profile)
        rate = self.per_day / output / (HOURS * SECONDS_PER_HOUR)
        return FleetDemand(np.full(HOURS, rate), rate, prompt, output)


def _of_users(profile: Profile, users: float) -> FleetDemand:
    traffic = profile.traffic
    if traffic is None:
        raise UserError("--profile", profile.name, "has no traffic; take one with it, or ask for --offline")
    a_day = users * traffic.active_share.value * traffic.sessions.value * traffic.turns.value
    hourly = a_day * traffic.shares / SECONDS_PER_HOUR
    prompt, output = length_means(profile)
    return FleetDemand(hourly, float(hourly.max()) * traffic.within_hour.value, prompt, output)
