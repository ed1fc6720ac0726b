"""Servers that are switched off while the load is low: how many are on in each hour, and what that saves a day.

Servers follow the forecast of the hour: as many are on as carry its busiest minutes at the planned load, and the
spares. What an hour has more than the one before starts a cold start ahead of it; what it has less is off at its
beginning. So does target tracking of an autoscaler whose forecast is right (Gandhi et al., AutoScale: Dynamic, Robust
Capacity Management for Multi-Tier Data Centers, ACM TOCS 30(4), 2012). A server that is off draws nothing; one that
starts draws what one at rest does, while its instances load their weights side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.answers.swapping import weights_load
from npusim.explore.fleet.cases import Cases
from npusim.explore.fleet.sizing import Served, Shelter, day_kwh_wall
from npusim.hardware.kv_tier import load_kv_tier
from npusim.mapping.deployment import Deployment
from npusim.workload.profile import SECONDS_PER_HOUR

OPTION = "--autoscale"
POLICY = (
    "As many servers are on as carry the busiest minutes of the hour at the planned load, and the spares; each starts "
    "a cold start ahead of the hour that needs it, and one that is off draws nothing."
)


@dataclass(frozen=True)
class AutoscaleAsked:
    """tier: from which weights are loaded, NAME or NAME=SIZE; ready_s: from loaded weights to the first step, None
    where it is not known."""

    tier: str
    ready_s: float | None


@dataclass(frozen=True)
class ColdStart:
    """tier: from which weights are loaded; load_s: value, and the ends of the links' ranges; ready_s: beside it, None
    where it is not known."""

    tier: str
    load_s: tuple[float, float, float]
    ready_s: float | None

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Value, low and high; the least that it takes where `ready_s` is not known."""
        value, low, high = (each + (self.ready_s or 0.0) for each in self.load_s)
        return value, low, high


@dataclass(frozen=True)
class Autoscaled:
    """cold: start of a server; servers_on: of each hour, float64 (24,); starts: servers that start in a day; kwh: at
    the wall a day, NaN where the housing is not told; kwh_always_on: likewise with all servers on."""

    cold: ColdStart
    servers_on: np.ndarray
    starts: float
    kwh: float
    kwh_always_on: float


def cold_start(where: Deployment, per_server: int, asked: AutoscaleAsked) -> ColdStart:
    """Of a server of `per_server` instances that load their weights at the same time. Raises UserError."""
    tier, size = load_kv_tier(asked.tier, OPTION)
    found = weights_load(where, where.require_fit(1), tier, size, 0.0)
    shared = per_server if tier.per == "server" else 1
    low, value, high = (seconds * shared for seconds in found.seconds)
    return ColdStart(tier.name, (value, low, high), asked.ready_s)


def autoscaled(
    case: Cases, served: Served, shelter: Shelter, cold: ColdStart, servers: float, spare: float
) -> Autoscaled:
    """A single case over a day. servers: all of them; spare: among them."""
    asked = case.asked
    each = float(served.rate_per_s[0] * asked.planned[0]) * shelter.per_server
    busiest = asked.hourly[0] * float(asked.peak[0] / asked.hourly[0].max())
    on = np.minimum(np.ceil(busiest / each) + spare, servers)
    starts = np.maximum(on - np.roll(on, 1), 0.0)
    starting = starts * cold.seconds[0] / SECONDS_PER_HOUR
    kwh, always = (
        day_kwh_wall(case, served, shelter, *each)
        for each in ((on, starting), (np.full_like(on, servers), np.zeros_like(on)))
    )
    return Autoscaled(cold, on, float(starts.sum()), kwh, always)
