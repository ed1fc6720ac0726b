"""From the rate of one instance to instances, servers, racks, watts and energy, for arrays of cases.

Sessions are dealt out to instances at random and stay there (each instance then sees a Poisson process of its share).
Spare servers are powered and share the load.
Watts of a server are those of its cards and what its housing says of the host, whatever its load; the wall's are those
over the efficiency of the supplies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npusim.explore.fleet.cases import Cases
from npusim.hardware.system import System
from npusim.units import W_PER_KW
from npusim.workload.profile import SECONDS_PER_HOUR

_J_PER_KWH = 3.6e6
"""Joules of a kilowatt-hour."""
_MILLION = 1e6
"""Tokens to which energy is told."""
FIGURES = (
    "instances", "servers", "cards", "racks", "kw_card", "kw_server", "kw_wall", "tokens_per_s", "requests_per_s",
    "requests_per_s_per_instance", "tokens_per_s_per_instance", "kwh_per_day_card", "kwh_per_day_wall",
    "kwh_per_million_tokens",
)  # fmt: skip


@dataclass(frozen=True)
class Shelter:
    """What holds instances. per_server: instances of a server; cards: of a server; idle_cards: of them, those that no
    instance uses; idle_w: of one card at rest; rack_w: that a rack feeds, NaN where it is not told."""

    per_server: int
    cards: int
    idle_cards: int
    idle_w: float
    rack_w: float


def shelter_of(system: System, cards: int, idle_w: float) -> Shelter:
    """The server of instances of so many cards; idle_w: of one card."""
    most = system.max_cards
    per_server = most // cards
    housing = system.housing
    rack_w = math.nan if housing is None or housing.rack is None else housing.rack.value
    return Shelter(per_server, most, most - per_server * cards, idle_w, rack_w)


@dataclass(frozen=True)
class Served:
    """Of each case, float64 (cases,): requests a second of an instance at the objectives, and seconds of a request's
    steps over those of the described instance. watts: of the cards of a described instance at rates of requests."""

    rate_per_s: np.ndarray
    work: np.ndarray
    watts: Callable[[np.ndarray], np.ndarray]


def sized(cases: Cases, served: Served, shelter: Shelter) -> dict[str, np.ndarray]:
    """FIGURES of each case, float64 (cases,), and `per_rack`, `spare_servers`; infinite where no instance keeps the
    objectives, NaN where something is not told."""
    asked = cases.asked
    planned = served.rate_per_s * asked.planned
    with np.errstate(divide="ignore"):
        instances = np.ceil(asked.peak / planned)
    needed = np.ceil(instances / shelter.per_server)
    full_w = _wall_w(cases, _server_w(cases, served, shelter, planned))
    per_rack = np.floor(shelter.rack_w / full_w)
    spare = np.round(asked.spare_servers)
    spare = np.maximum(spare, np.round(asked.spare_racks) * np.nan_to_num(np.minimum(per_rack, needed)))
    servers = needed + spare
    found = {"instances": instances, "servers": servers, "cards": servers * shelter.cards}
    found |= {"racks": np.where(per_rack >= 1.0, np.ceil(servers / np.maximum(per_rack, 1.0)), np.nan)}
    found |= {"per_rack": per_rack, "spare_servers": spare, "requests_per_s": asked.peak}
    found |= {"tokens_per_s": asked.peak * asked.output, "requests_per_s_per_instance": served.rate_per_s}
    found |= {"tokens_per_s_per_instance": served.rate_per_s * asked.output}
    return found | _powered(cases, served, shelter, servers)


def _powered(cases: Cases, served: Served, shelter: Shelter, servers: np.ndarray) -> dict[str, np.ndarray]:
    """kW at the peak and kWh of a day; infinite where there is no end of servers."""
    asked, known = cases.asked, np.where(np.isfinite(servers), servers, 1.0)
    each = asked.peak / (known * shelter.per_server)
    cards_w = _server_w(cases, served, shelter, each)
    hourly = asked.hourly / (known * shelter.per_server)[:, None]
    day_w = np.stack([_server_w(cases, served, shelter, hour) for hour in hourly.T], axis=1).mean(axis=1)
    tokens = asked.hourly.sum(axis=1) * SECONDS_PER_HOUR * asked.output
    day_s = asked.hourly.shape[1] * SECONDS_PER_HOUR
    wall = known * _wall_w(cases, day_w) * day_s / _J_PER_KWH
    found = {
        "kw_card": known * cards_w / W_PER_KW,
        "kw_server": known * (cards_w + cases.host_w) / W_PER_KW,
        "kw_wall": known * _wall_w(cases, cards_w) / W_PER_KW,
        "kwh_per_day_card": known * day_w * day_s / _J_PER_KWH,
        "kwh_per_day_wall": wall,
        "kwh_per_million_tokens": wall / (tokens / _MILLION),
    }
    return {name: np.where(np.isfinite(servers), value, np.inf) for name, value in found.items()}


def _server_w(cases: Cases, served: Served, shelter: Shelter, rate_per_s: np.ndarray) -> np.ndarray:
    """Watts of a server's cards at that rate of each of its instances."""
    own = served.watts(rate_per_s * served.work) * cases.watts
    return np.asarray(shelter.per_server * own + shelter.idle_cards * shelter.idle_w)


def _wall_w(cases: Cases, cards_w: np.ndarray) -> np.ndarray:
    return np.asarray((cards_w + cases.host_w) / cases.efficiency)


def hourly_kw(case: Cases, served: Served, shelter: Shelter, servers: float) -> tuple[np.ndarray, np.ndarray]:
    """kW of all cards and at the wall in each hour of a single case, float64 (24,) each."""
    rates = case.asked.hourly[0] / (servers * shelter.per_server)
    cards_w = _server_w(case, served, shelter, rates)
    return servers * cards_w / W_PER_KW, servers * _wall_w(case, cards_w) / W_PER_KW


def day_kwh_wall(case: Cases, served: Served, shelter: Shelter, on: np.ndarray, starting: np.ndarray) -> float:
    """kWh at the wall of a single case over a day with `on` servers in each hour, float64 (24,), and server hours of
    starts without a request."""
    serving = _wall_w(case, _server_w(case, served, shelter, case.asked.hourly[0] / (on * shelter.per_server)))
    resting = _wall_w(case, _server_w(case, served, shelter, np.zeros(1)))
    return float((on * serving + starting * resting).sum() * SECONDS_PER_HOUR / _J_PER_KWH)
