"""The assumptions that move the number of servers most.

Each number is moved to either end of its range, all else at its value. To first order the logarithm of the number of
instances then varies with the sum of squares of those moves; a number's share is its part of that sum (as for claims).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.explore.fleet.cases import Cases
from npusim.explore.fleet.numbers import FleetNumbers, ranged_of_profile
from npusim.explore.fleet.sizing import Shelter, sized
from npusim.hardware.draws import RangedNumber, range_z
from npusim.hardware.field_docs import sentence_at
from npusim.ledger import Quantity
from npusim.serving.joint import FIRST, POWER, TOKEN

MOST = 10
"""Assumptions that are told."""
_LEAST = 1e-4
"""Share below which a number decides nothing."""
_NOTHING = 1e-3
"""Part of the described rate below which an instance serves nothing."""
_ERRORS = {
    FIRST: "What calibration leaves unexplained of the time to a first token.",
    TOKEN: "What calibration leaves unexplained of the time between tokens.",
    POWER: "What calibration leaves unexplained of watts.",
}


@dataclass(frozen=True)
class Decider:
    """owner, path: of the number; meaning: in a sentence; quantity: its provenance, None of an error; low, high:
    servers at the ends of its range (infinite where the objectives are not kept); share: of the variance."""

    owner: str
    path: str
    meaning: str
    quantity: Quantity | None
    low: float
    high: float
    share: float


def deciders(numbers: FleetNumbers, shelter: Shelter) -> list[Decider]:
    """At most MOST of the numbers, those that move most first."""
    machine, profile = numbers.of_machine(), ranged_of_profile(numbers.profile)
    moved: list[RangedNumber | str] = [*(each[0] for each in machine), *profile, *numbers.unexplained]
    parts = [numbers.profiles_at_ends(profile)] if profile else []
    parts = [numbers.machines_at_ends(machine), *parts] if machine else parts
    servers, loads = _ends(numbers, shelter, [*parts, numbers.errors_at_ends()])
    sds = np.abs(np.log(loads[:, 1] / loads[:, 0])) / (2.0 * range_z())
    shares = sds**2 / max(float((sds**2).sum()), np.finfo(float).tiny)
    order = [at for at in np.argsort(-shares, kind="stable")[:MOST].tolist() if shares[at] > _LEAST]
    return [_decider(numbers, moved[at], servers[at], float(shares[at])) for at in order]


def _decider(numbers: FleetNumbers, moved: RangedNumber | str, ends: np.ndarray, share: float) -> Decider:
    where, (low, high) = numbers.deployment, ends.tolist()
    if isinstance(moved, str):
        return Decider(where.system.name, moved, _ERRORS[moved], None, low, high, share)
    parts = (where.system, where.runtime, numbers.profile)
    described = next((each for each in parts if each.name == moved.owner), None)
    meaning = "" if described is None else sentence_at(described, moved.label)
    return Decider(moved.owner, moved.label, meaning, moved.quantity, low, high, share)


def _ends(numbers: FleetNumbers, shelter: Shelter, parts: Sequence[Cases]) -> tuple[np.ndarray, np.ndarray]:
    """Servers, and instances before they are rounded, at both ends of each number, float64 (numbers, 2) each.

    A number under whose end no instance keeps the objectives moves by as much as is told apart: a factor of a thousand.
    """
    servers, loads = [], []
    for cases in parts:
        served = numbers.served(cases)
        servers.append(sized(cases, served, shelter)["servers"])
        least = numbers.capacity.rate_per_s * _NOTHING
        loads.append(cases.asked.peak / np.maximum(served.rate_per_s * cases.asked.planned, least))
    return np.concatenate(servers).reshape(-1, 2), np.concatenate(loads).reshape(-1, 2)
