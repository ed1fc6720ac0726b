"""The fleet of a unit of prefill and decode instances: servers, racks, watts, and bytes between pools."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from npusim.explore.fleet.capacity import Capacity, without_replicas
from npusim.explore.fleet.mixed import JOINS, PoolsUnit, Units
from npusim.explore.fleet.numbers import FleetNumbers
from npusim.explore.fleet.option import FleetDay, FleetOption, demand_told, unknown_of
from npusim.explore.fleet.sizing import FIGURES, Served, hourly_kw, shelter_of, sized
from npusim.explore.fleet.traffic import OfUsers
from npusim.mapping.deployment import Deployment, deploy
from npusim.serving.joint import JointDraws
from npusim.words import Phrase

if TYPE_CHECKING:
    from npusim.explore.fleet.run import FleetAsked

_POOLS = ("prefill", "decode")
_SHARED = ("tokens_per_s", "requests_per_s")
"""Figures that both pools have in common; the others are sums over them."""
_PER_INSTANCE = ("requests_per_s_per_instance", "tokens_per_s_per_instance")
NO_INTERVAL = Phrase("intervals of two kinds of servers together are not drawn")


@dataclass(frozen=True)
class _Pool:
    """figures: of `sized`; unknown: why some are not told; day_kw: of cards and at the wall in each hour."""

    figures: Mapping[str, float]
    unknown: Mapping[str, Phrase]
    day_kw: tuple[np.ndarray, np.ndarray]


def mixed_option(parts: list[str], title: str, asked: FleetAsked) -> FleetOption:
    """The fleet of PREFILL+DECODE. Raises UserError, DoesNotFit."""
    assert asked.users is not None and asked.slo is not None
    arch = JOINS.join(parts)
    first, second = (fewest_cards(each, asked) for each in parts)
    units = Units(first, second, asked.profile, asked.slo, asked.seed, asked.routing, asked.link)
    unit = units.best()
    if unit is None:
        return FleetOption(arch, title, Phrase("no rate of random arrivals keeps the objectives with two pools"))
    shares = (unit.prefill, unit.decode)
    pools = [
        _pool(where, asked, unit, unit.rate_per_s / share, watts)
        for where, share, watts in zip((first, second), shares, unit.watts, strict=True)
    ]
    value = _whole(pools)
    numbers = _numbers(second, asked, unit)
    hourly = numbers.asked.hourly[0]
    kw_card, kw_wall = (sum(each.day_kw[place] for each in pools) for place in range(2))
    return FleetOption(
        arch,
        title,
        draws=JointDraws(value, {name: np.full(1, math.nan) for name in FIGURES}),
        day=FleetDay(hourly, hourly * float(numbers.asked.output[0]), np.asarray(kw_card), np.asarray(kw_wall)),
        unknown={name: why for each in pools for name, why in each.unknown.items()} | {"interval": NO_INTERVAL},
        instance=_instance(first, second, unit, asked),
        spare_servers=sum(each.figures["spare_servers"] for each in pools),
        demand=demand_told(numbers),
        pools=_told(pools, first, second, unit, float(numbers.asked.peak[0])),
    )


def fewest_cards(arch: str, asked: FleetAsked) -> Deployment:
    """The deployment that is told; else that on the fewest cards that hold the longest request. Raises DoesNotFit."""
    told = asked.told.copy()
    if not asked.is_planned:
        told["cards"] = "auto"
    where = without_replicas(deploy(arch, asked.model, tokens=asked.profile.longest, **told))
    where.require_fit(asked.profile.longest)
    return where


def _numbers(where: Deployment, asked: FleetAsked, unit: PoolsUnit) -> FleetNumbers:
    assert asked.users is not None and asked.slo is not None
    capacity = Capacity(unit.rate_per_s, (unit.point,), unit.point)
    return FleetNumbers(where, asked.profile, asked.slo, OfUsers(asked.users), capacity, asked.seed)


def _pool(where: Deployment, asked: FleetAsked, unit: PoolsUnit, rate_per_s: float, watts: float) -> _Pool:
    """What one pool needs. rate_per_s: of one of its instances; watts: of its cards at that rate."""
    idle_w = float(where.machine[0]["power_idle"])
    shelter = shelter_of(where.system, where.plan.cards, idle_w * where.system.chips_per_card)
    points = ([0.0, rate_per_s], [idle_w * where.plan.chips, watts])
    served = Served(np.full(1, rate_per_s), np.ones(1), lambda at: np.interp(at, *points))
    case = _numbers(where, asked, unit).described()
    found = {name: float(each[0]) for name, each in sized(case, served, shelter).items()}
    return _Pool(found, unknown_of(where, found), hourly_kw(case, served, shelter, found["servers"]))


def _whole(pools: list[_Pool]) -> dict[str, float]:
    """FIGURES of both pools together."""
    first = pools[0].figures
    value = {name: first[name] if name in _SHARED else sum(each.figures[name] for each in pools) for name in FIGURES}
    for name, of in zip(_PER_INSTANCE, reversed(_SHARED), strict=True):
        value[name] = value[of] / value["instances"]
    return value


def _instance(prefill: Deployment, decode: Deployment, unit: PoolsUnit, asked: FleetAsked) -> dict[str, Any]:
    """The unit, in the words in which other fleets tell an instance."""
    assert asked.slo is not None
    counts = f"{unit.prefill} x {prefill.plan.name} {JOINS} {unit.decode} x {decode.plan.name}"
    return {
        "cards": unit.prefill * prefill.plan.cards + unit.decode * decode.plan.cards,
        "plan": counts,
        "per_server": None,
        "planned_load": asked.profile.headroom.planned_load.value,
        "requests_per_s": unit.rate_per_s,
        "requests_in_flight": unit.point.in_flight,
        "routing": asked.routing,
        **{name: unit.point.metrics[name] for name, _ in asked.slo.limits},
    }


def _told(
    pools: list[_Pool], prefill: Deployment, decode: Deployment, unit: PoolsUnit, peak_per_s: float
) -> dict[str, Any]:
    """Each pool by itself, and what goes between them at the peak."""
    found: dict[str, Any] = {
        name: {
            "arch": where.system.name,
            "plan": where.plan.name,
            "of_unit": count,
            **{key: each.figures[key] for key in ("instances", "servers", "racks", "kw_card", "kw_server", "kw_wall")},
        }
        for name, each, where, count in zip(_POOLS, pools, (prefill, decode), (unit.prefill, unit.decode), strict=True)
    }
    moved = {"link": unit.link, "kv_bytes_per_request": unit.kv_bytes, "bytes_per_s": unit.kv_bytes * peak_per_s}
    return found | {"transfer": moved}
