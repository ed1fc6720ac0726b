"""What users get while a rack is down at the peak, and while servers start late on a rising load, by direct simulation.

Both are simulated on one cell. A rack's instances belong to as many cells as can be (as topology spread constraints of
Kubernetes place them), so that each cell loses the same part. What a failed instance has not answered is sent anew.
Servers that start late are those of an autoscaler without a forecast: it sees the load of the steepest hour when it is
there, and they take requests a cold start after that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from npusim.explore.fleet.capacity import Window, trials_of
from npusim.explore.fleet.cells import CELL, latency_statistic
from npusim.explore.fleet.option import FleetOption
from npusim.explore.fleet.requests import some_of
from npusim.mapping.deployment import Deployment
from npusim.metrics import PER_REQUEST
from npusim.serving.instances.outages import Shifts, simulate_shifts
from npusim.serving.instances.simulate import replicas_of
from npusim.serving.load import Load
from npusim.serving.slo import Slo
from npusim.units import MS_PER_S
from npusim.workload.arrivals import Timed

if TYPE_CHECKING:
    from npusim.explore.fleet.run import FleetAsked

_STREAM = 8
"""Which requests come before the load rises is drawn apart from all else that a seed draws."""
_MIDDLE = 0.5
"""Part of a window at which instances fail, or the load rises."""


@dataclass(frozen=True)
class Disturbance:
    """count: instances of a cell; changed: of them, those that fail or start late; rate_per_s: of each of all; before:
    part of that rate which comes until the middle of the window; late_s: after which those that start take requests,
    None where they fail."""

    count: int
    changed: int
    rate_per_s: float
    before: float = 1.0
    late_s: float | None = None


def rack_down(option: FleetOption) -> Disturbance | str:
    """A rack of a fleet is down at its peak; why that is not known."""
    servers, racks = option.value("servers"), option.value("racks")
    if not math.isfinite(racks):
        return "unknown: the description does not tell what a rack holds"
    if racks <= 1.0:
        return "the fleet stands in one rack: nothing is served without it"
    instances = servers * option.instance["per_server"]
    count = round(min(CELL, instances))
    changed = math.ceil(count / racks)
    rate = option.value("requests_per_s") / instances
    return Disturbance(count, changed, rate) if changed < count else "a cell has too few instances to lose any"


def late_start(option: FleetOption) -> Disturbance | None:
    """Servers start late in the hour in which most start; None where servers are not switched off."""
    found, day = option.autoscaled, option.day
    if found is None or day is None or not found.starts:
        return None
    on, hourly = found.servers_on, day.requests_per_s
    hour = int(np.argmax(on - np.roll(on, 1)))
    count = round(min(CELL, on[hour] * option.instance["per_server"]))
    changed = math.ceil(count * (1.0 - on[hour - 1] / on[hour]))
    rate = (
        float(hourly[hour] / hourly.max() * option.value("requests_per_s") / on[hour]) / option.instance["per_server"]
    )
    if changed >= count:
        return None
    return Disturbance(count, changed, rate, float(hourly[hour - 1] / hourly[hour]), found.cold.seconds[0])


def disturbed(where: Deployment, window: Window, slo: Slo, routing: str, of: Disturbance) -> Mapping[str, Any]:
    """Latencies before and after, by the names of limits, in ms; kept_after: whether those after it keep them."""
    load = window.load_at(of.rate_per_s, of.count)
    assert isinstance(load.arrival, Timed)
    at_s = _MIDDLE * load.arrival.sent_s[-1]
    if of.before < 1.0:
        load = _rising(load, at_s, of.before, window.seed)
    chosen = np.arange(of.count) < of.changed
    from_s = np.where(chosen & (of.late_s is not None), at_s + (of.late_s or 0.0), 0.0)
    until_s = np.where(chosen & (of.late_s is None), at_s, np.inf)
    shifts = Shifts(from_s, until_s)
    seen, refused = simulate_shifts(replicas_of(where, of.count), load, window.seed, routing, shifts)
    told = {"instances": of.count, "changed": of.changed, "requests_per_s_per_instance": of.rate_per_s}
    counted = seen["index"] >= load.warm_up
    after = seen["last_token_s"] >= at_s
    found = {"before": _limits(seen, counted & ~after, slo), "after": _limits(seen, counted & after, slo)}
    kept = not refused and all(found["after"][name] <= limit for name, limit in slo.limits)
    return told | found | {"kept_after": kept}


def _rising(load: Load, at_s: float, part: float, seed: int) -> Load:
    """The load with that part of its requests until `at_s`, each by chance."""
    assert isinstance(load.arrival, Timed)
    sent_s = np.array(load.arrival.sent_s)
    stays = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,))).random(len(sent_s)) < part
    return some_of(load, np.flatnonzero((sent_s >= at_s) | stays))


def _limits(seen: Mapping[str, np.ndarray], among: np.ndarray, slo: Slo) -> dict[str, float]:
    """The figures that have limits, of some of the requests."""
    first_s, last_s, sent_s = (seen[name][among] for name in ("first_token_s", "last_token_s", "sent_s"))
    further = seen["osl"][among] - 1.0
    tpot_s = np.divide(last_s - first_s, further, out=np.full(len(further), np.nan), where=further > 0)
    columns = zip(PER_REQUEST, (first_s - sent_s, tpot_s, last_s - sent_s), strict=True)
    rows = pd.DataFrame({name: seconds * MS_PER_S for name, seconds in columns})
    return {name: latency_statistic(rows, name) for name, _ in slo.limits}


def with_disturbances(option: FleetOption, asked: FleetAsked) -> FleetOption:
    """The option with what its direct simulation says of a rack that is down and of servers that start late."""
    if option.direct is None or option.deployment is None or asked.slo is None:
        return option
    window = trials_of(option.deployment, asked.profile, asked.slo, asked.seed).window
    found = {"rack_down": rack_down(option), "late_start": late_start(option)}
    told = {
        name: {"reason": each}
        if isinstance(each, str)
        else disturbed(option.deployment, window, asked.slo, asked.routing, each)
        for name, each in found.items()
        if each is not None
    }
    return replace(option, direct={**option.direct, **told})
