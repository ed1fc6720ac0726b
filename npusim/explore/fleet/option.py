"""One architecture as the fleet of a service: what it needs, how sure that is, and what decides it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from npusim.explore.fleet.anew import Anew, found_anew
from npusim.explore.fleet.autoscale import AutoscaleAsked, Autoscaled, autoscaled, cold_start
from npusim.explore.fleet.cases import Cases
from npusim.explore.fleet.deciding import Decider, deciders
from npusim.explore.fleet.host_demand import HostDemand, host_demand
from npusim.explore.fleet.numbers import FleetNumbers
from npusim.explore.fleet.plans import FleetInstance, Tried
from npusim.explore.fleet.sizing import FIGURES, Served, Shelter, hourly_kw, shelter_of, sized
from npusim.mapping.deployment import Deployment
from npusim.serving.joint import POWER, RATE, JointDraws
from npusim.words import Phrase
from npusim.workload.profile import SECONDS_PER_HOUR

_HOUSED = ("kw_server", "kw_wall", "kwh_per_day_wall", "kwh_per_million_tokens", "racks")
"""Figures that a description without housing leaves unknown."""
_OF_MEMORY = ("kv_peak_fraction", "prefix_hit_fraction")
"""Figures that tell how an instance uses its memory for KV."""
YEARS = (1, 2, 3)
"""Years ahead for which servers are told."""


@dataclass(frozen=True)
class FleetDay:
    """Of each hour from midnight on, float64 (24,): requests and output tokens a second of the whole service, kW of all
    cards and at the wall (NaN where the housing is not told)."""

    requests_per_s: np.ndarray
    tokens_per_s: np.ndarray
    kw_card: np.ndarray
    kw_wall: np.ndarray


@dataclass(frozen=True)
class FleetOption:
    """arch, title: of the architecture; reason: why there is no fleet, None where there is one; unknown: reasons of
    figures that are not told; draws: of FIGURES; anew: how wrong their scaled rates are, None where nobody waits;
    autoscaled: the day with servers switched off, None where all stay on; pools: of prefill and of decode, where they
    are apart; deployment: of one instance, None where the model has no room or pools are apart."""

    arch: str
    title: str
    reason: Phrase | None = None
    deployment: Deployment | None = None
    tried: tuple[Tried, ...] = ()
    draws: JointDraws | None = None
    day: FleetDay | None = None
    later: Mapping[int, float] = field(default_factory=dict)
    deciding: tuple[Decider, ...] = ()
    unknown: Mapping[str, Phrase] = field(default_factory=dict)
    instance: Mapping[str, Any] = field(default_factory=dict)
    spare_servers: float = 0.0
    direct: Mapping[str, Any] | None = None
    offline: Mapping[str, Any] | None = None
    host: HostDemand | None = None
    demand: Mapping[str, Any] = field(default_factory=dict)
    anew: Anew | None = None
    autoscaled: Autoscaled | None = None
    pools: Mapping[str, Any] | None = None

    def value(self, name: str) -> float:
        """The figure on the described numbers; NaN without a fleet."""
        return math.nan if self.draws is None else self.draws.value[name]

    def interval(self, name: str) -> tuple[float, float]:
        """Its 90 % interval; NaN where it is not told, infinite where the objectives may not be kept at all."""
        if self.draws is None:
            return math.nan, math.nan
        drawn = self.draws.drawn[name]
        if not np.isinf(drawn).any():
            return self.draws.interval(name)
        ordered = np.sort(drawn[~np.isnan(drawn)])
        beyond = max(0, math.floor(_TAIL * len(ordered)) - 1)
        value = self.value(name)
        return min(float(ordered[beyond]), value), max(float(ordered[-1 - beyond]), value)


_TAIL = 0.05
"""Part of the draws beyond either end of an interval."""


def no_fleet(arch: str, title: str, reason: Phrase | None, instance: FleetInstance | None = None) -> FleetOption:
    """An architecture that cannot serve, with the reason."""
    where = None if instance is None else instance.deployment
    return FleetOption(arch, title, reason, where, () if instance is None else instance.tried)


def option_of(
    arch: str, instance: FleetInstance, numbers: FleetNumbers, autoscale: AutoscaleAsked | None = None
) -> FleetOption:
    """The fleet of instances of an architecture; their rate is more than 0. autoscale: how servers start again that are
    switched off, None where all stay on."""
    where = numbers.deployment
    shelter = shelter_of(where.system, where.plan.cards, _idle_w(where))
    case = numbers.described()
    served = numbers.served(case)
    own = {name: float(value[0]) for name, value in sized(case, served, shelter).items()}
    drawn = numbers.drawn()
    anew = None if instance.router is None else found_anew(numbers, drawn)
    found = sized(drawn, _served(numbers, drawn, anew), shelter)
    draws = JointDraws({name: own[name] for name in FIGURES}, {name: found[name] for name in FIGURES})
    kw_card, kw_wall = hourly_kw(case, served, shelter, own["servers"])
    hourly = numbers.asked.hourly[0]
    cold = None if autoscale is None else cold_start(where, shelter.per_server, autoscale)
    spare = own["spare_servers"]
    return FleetOption(
        arch=arch,
        title=where.system.title,
        deployment=where,
        tried=instance.tried,
        draws=draws,
        day=FleetDay(hourly, hourly * float(numbers.asked.output[0]), kw_card, kw_wall),
        later=_later(numbers, own, shelter),
        deciding=tuple(deciders(numbers, shelter)),
        unknown=unknown_of(where, own),
        instance=_instance(numbers, shelter) | _router(instance),
        anew=anew,
        autoscaled=None if cold is None else autoscaled(case, served, shelter, cold, own["servers"], spare),
        spare_servers=spare,
        demand=demand_told(numbers),
        host=_host(numbers, float(case.asked.planned[0])),
    )


def _served(numbers: FleetNumbers, drawn: Cases, anew: Anew | None) -> Served:
    """What instances of drawn cases serve, with the errors of scaling."""
    served = numbers.served(drawn)
    if anew is None:
        return served
    return replace(served, rate_per_s=served.rate_per_s * anew.drawn(len(drawn), numbers.seed))


def _host(numbers: FleetNumbers, planned: float) -> HostDemand:
    """At the planned load, with the figures of the largest rate."""
    capacity = numbers.capacity
    tokens = float(numbers.asked.prompt[0]), float(numbers.asked.output[0])
    return host_demand(numbers.deployment, capacity.at_rate.metrics, capacity.rate_per_s * planned, tokens)


def _idle_w(where: Deployment) -> float:
    return float(where.machine[0]["power_idle"]) * where.system.chips_per_card


def _later(numbers: FleetNumbers, own: Mapping[str, float], shelter: Shelter) -> dict[int, float]:
    """Servers after some years of growth; spares as now."""
    growth = numbers.profile.growth
    if growth is None:
        return {}
    needed = own["servers"] - own["spare_servers"]
    loads = {year: own["instances"] * (1.0 + growth.value) ** year / shelter.per_server for year in YEARS}
    return {year: max(needed, math.ceil(load)) + own["spare_servers"] for year, load in loads.items()}


def unknown_of(where: Deployment, own: Mapping[str, float]) -> dict[str, Phrase]:
    """Why figures of `sized` are not told, by their names."""
    name, housing = {"name": where.system.name}, where.system.housing
    if housing is None:
        told = Phrase(
            "the description of {name} tells no housing: add housing.host and housing.supply_efficiency", name
        )
        return dict.fromkeys(_HOUSED, told)
    if housing.rack is None:
        return {"racks": Phrase("the description of {name} does not tell housing.rack", name)}
    if math.isnan(own["racks"]):
        rack = name | {"rack": housing.rack.text}
        return {"racks": Phrase("a rack of {rack} does not feed one server of {name} at this load", rack)}
    return {}


def _instance(numbers: FleetNumbers, shelter: Shelter) -> dict[str, Any]:
    at = numbers.capacity.at_rate
    kept = {name: at.metrics[name] for name in (*_OF_MEMORY, *(name for name, _ in numbers.slo.limits))}
    return {
        "cards": numbers.deployment.plan.cards,
        "plan": numbers.deployment.plan.name,
        "per_server": shelter.per_server,
        "planned_load": numbers.profile.headroom.planned_load.value,
        "requests_per_s": numbers.capacity.rate_per_s,
        "requests_in_flight": at.in_flight,
        RATE: at.metrics[RATE],
        POWER: at.metrics[f"steady_{POWER}"],
        **kept,
    }


def _router(instance: FleetInstance) -> dict[str, Any]:
    """Behind which router the rate is kept, and of how many instances it was simulated; nothing without one."""
    group = instance.router
    return {} if group is None else {"routing": group.routing, "cell": group.cell, "simulated_together": group.size}


def demand_told(numbers: FleetNumbers) -> dict[str, Any]:
    """What users ask for."""
    asked = numbers.asked
    hourly = asked.hourly[0]
    return {
        "requests_per_day": float(hourly.sum()) * SECONDS_PER_HOUR,
        "requests_per_s_mean": float(hourly.mean()),
        "requests_per_s_peak": float(asked.peak[0]),
        "prompt_tokens_mean": float(asked.prompt[0]),
        "output_tokens_mean": float(asked.output[0]),
        "output_tokens_per_day": float(hourly.sum()) * SECONDS_PER_HOUR * float(asked.output[0]),
    }
