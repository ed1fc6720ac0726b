"""Cases from the ranged numbers of a fleet: of its machines, its software, its housing and its profile.

Estimates of the two steps of a request, a prompt alone and a decode step over as many sequences as are in flight, say
what an instance with other numbers costs (`explore.sweep.estimate`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from npusim.explore.fleet.capacity import Capacity
from npusim.explore.fleet.cases import Asked, Cases, asked_of, repeat, scaled_by_profile
from npusim.explore.fleet.group import ALONE, RoutedGroup
from npusim.explore.fleet.response import Response, Scales
from npusim.explore.fleet.sizing import Served
from npusim.explore.fleet.traffic import Asks
from npusim.explore.one_changed import Change, changed_records, estimates_of, estimates_on, ranged_of, to_ends
from npusim.explore.sweep.estimate import Figures
from npusim.explore.sweep.machines import Records
from npusim.hardware.calibration import with_quantities
from npusim.hardware.draws import RangedNumber, drawn_values, is_ranged
from npusim.ledger import Quantity, provenances
from npusim.mapping.deployment import Deployment
from npusim.mapping.footprint import usable_bytes
from npusim.serving.joint import FIRST, POWER, RATE, TOKEN, drawn_errors
from npusim.serving.slo import Slo
from npusim.serving.uncertainty import drawn_deployments
from npusim.serving.unexplained import unexplained
from npusim.units import MS_PER_S
from npusim.workload.profile import Profile

MACHINES, ERRORS_EACH = 64, 8
"""Drawn machines, and draws of errors and of the profile on each."""
_PROFILES, _HOUSING = 2**36, 2**37
"""Added to the seed, so that profiles and housings are drawn apart from machines; profiles alike for all
architectures."""
_PROMPT, _DECODE = "prefill_ms", "decode_ms"
_WATTS = "power_w"
_STEPS = (_PROMPT, _DECODE, _WATTS)
"""Estimates of the two steps of a request, and of the power of both."""


@dataclass(frozen=True)
class FleetNumbers:
    """What a fleet of instances of `deployment` depends on. asks: of the service; capacity: of one instance; chance: an
    instance alone with its part of a cell's requests."""

    deployment: Deployment
    profile: Profile
    slo: Slo
    asks: Asks
    capacity: Capacity
    seed: int
    chance: RoutedGroup = ALONE

    @cached_property
    def asked(self) -> Asked:
        """By the described profile, one case."""
        return asked_of([self.profile], self.asks)

    @cached_property
    def _load(self) -> tuple[int, int, int]:
        """Mean prompt and answer, and the sequences of a decode step of one replica."""
        replicas = self.deployment.plan.data_parallel
        flight = self.capacity.at_rate.in_flight / replicas
        return round(float(self.asked.prompt[0])), max(2, round(float(self.asked.output[0]))), max(1, round(flight))

    @cached_property
    def _own(self) -> Figures:
        return estimates_on(self.deployment, [self.deployment], self._load, _STEPS)

    @cached_property
    def response(self) -> Response:
        """What the rate of the instance is with other numbers."""
        isl, osl, flight = self._load
        prompt_s, token_s = (float(self._own[name][0]) / MS_PER_S for name in (_PROMPT, _DECODE))
        computed = 1.0 - self._hit
        room = self.deployment.require_fit(1).kv_tokens * self.deployment.plan.data_parallel
        return Response(
            self.capacity, self.slo, prompt_s * computed, token_s * osl / flight, room / (isl + osl), isl / (isl + osl)
        )

    @property
    def _hit(self) -> float:
        """Part of the prompts' tokens that was found in the prefix cache."""
        found = self.capacity.at_rate.metrics["prefix_hit_fraction"]
        return float(found) if math.isfinite(found) else 0.0

    def served(self, cases: Cases) -> Served:
        """What an instance of each case serves."""
        idle_w = float(self.deployment.machine[0]["power_idle"]) * self.deployment.plan.chips
        routed = () if self.capacity.routed is None else (self.capacity.routed,)
        steady = sorted((each.rate_per_s, each.watts) for each in (*self.capacity.points, *routed) if each.steady)
        rates, watts = zip((0.0, idle_w), *steady, strict=True)
        return Served(
            self.response.rates(cases.scales), self.response.work(cases.scales), lambda at: np.interp(at, rates, watts)
        )

    def described(self) -> Cases:
        """The one case of all numbers at their values."""
        return self._cases(Scales.none(1), np.ones(1), self.asked, {})

    def drawn(self) -> Cases:
        """MACHINES x ERRORS_EACH cases, drawn jointly from the ranges of all numbers and from the errors that the
        calibration left."""
        others = machines_drawn(self)
        steps = estimates_on(self.deployment, others, self._load, _STEPS)
        machines = np.concatenate([each.machine for each in others])
        runtimes = np.concatenate([each.runtime_record for each in others])
        scales, watts = self._scales(steps, Records(machines, runtimes))
        scales = Scales(*(np.repeat(each, ERRORS_EACH) for each in vars(scales).values()))
        first, token, power = self._errors()
        scales = scales.change(first=first, token=token)
        asked = asked_of(self.profiles_drawn(), self.asks)
        scales = scaled_by_profile(scales, asked, self.asked, self._hit)
        return self._cases(scales, np.repeat(watts, ERRORS_EACH) * power, asked, self._housings())

    def _errors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Factors of the times to a first token, between tokens and of watts, float64 (cases,) each."""
        widths = self.unexplained
        errors = drawn_errors(widths, MACHINES, self.seed)
        return tuple(errors[name][:, :ERRORS_EACH].ravel() for name in widths)  # type: ignore[return-value]

    @property
    def unexplained(self) -> dict[str, float]:
        """90 % half-widths of the logarithm that a calibration leaves of three figures; as of `serving.joint`."""
        first, token, rate, power = (
            unexplained(self.deployment.calibration, name) for name in (FIRST, TOKEN, RATE, POWER)
        )
        return {FIRST: first, TOKEN: max(token, rate), POWER: power}

    def profiles_drawn(self) -> list[Profile]:
        """As many profiles, drawn from the ranges of their numbers; the same for every architecture."""
        numbers = ranged_of_profile(self.profile)
        columns = drawn_values(numbers, MACHINES * ERRORS_EACH, self.seed + _PROFILES)
        rows = zip(*(column.tolist() for column in columns), strict=True) if columns else [()] * MACHINES * ERRORS_EACH
        return [_with(self.profile, dict(zip(numbers, row, strict=True))) for row in rows]

    def _housings(self) -> dict[str, np.ndarray]:
        numbers = [each for each in _of_housing(self.deployment) if is_ranged(each.quantity)]
        values = drawn_values(numbers, MACHINES * ERRORS_EACH, self.seed + _HOUSING)
        return {number.label: value for number, value in zip(numbers, values, strict=True)}

    def of_machine(self) -> list[list[RangedNumber]]:
        """The ranged numbers of machine and software, each once."""
        return ranged_of(self.deployment)

    def machines_at_ends(self, numbers: Sequence[list[RangedNumber]]) -> Cases:
        """Two cases for each: at the low and at the high end of its range, all else at its value."""
        changes: list[Change] = to_ends(numbers)
        steps = estimates_of(self.deployment, changes, *self._load, _STEPS)
        records = changed_records(self.deployment, changes)
        scales, watts = self._scales(steps, records)
        return self._cases(scales, watts, repeat(self.asked, len(watts)), {})

    def profiles_at_ends(self, numbers: Sequence[RangedNumber]) -> Cases:
        """Two cases for each number of the profile, likewise."""
        ends = [
            {each: float(end)} for each in numbers for end in (each.quantity.low, each.quantity.high) if end is not None
        ]
        asked = asked_of([_with(self.profile, each) for each in ends], self.asks)
        scales = scaled_by_profile(Scales.none(len(ends)), asked, self.asked, self._hit)
        return self._cases(scales, np.ones(len(ends)), asked, {})

    def errors_at_ends(self) -> Cases:
        """Two cases for each figure of `unexplained`, likewise."""
        widths = self.unexplained
        first, token, power = (
            np.exp([sign * width * (name == own) for own in widths for sign in (-1.0, 1.0)])
            for name, width in widths.items()
        )
        scales = Scales.none(len(first)).change(first=first, token=token)
        return self._cases(scales, power, repeat(self.asked, len(first)), {})

    def _scales(self, steps: Figures, records: Records) -> tuple[Scales, np.ndarray]:
        """Of machines whose steps cost so much; the host's stalls lengthen both steps by their mean."""
        room = self._room(records)
        own_ms, stall_ms = _stall_ms(self.deployment.runtime_record)[0], _stall_ms(records.runtimes)
        prompt, decode = ((steps[name] + stall_ms) / (self._own[name][0] + own_ms) for name in (_PROMPT, _DECODE))
        watts = steps[_WATTS] / self._own[_WATTS][0]
        room = np.where(np.isfinite(prompt) & np.isfinite(decode), room, 0.0)
        prompt, decode, watts = (np.nan_to_num(each, nan=1.0) for each in (prompt, decode, watts))
        return Scales.none(len(room)).change(prompt=prompt, decode=decode, room=room), watts

    def _room(self, records: Records) -> np.ndarray:
        """Bytes for KV of each machine over those of the described one; 0 where the longest request has no room."""
        own, where = self.deployment.require_fit(1), self.deployment
        usable = usable_bytes(records.machines, records.runtimes) - float(
            usable_bytes(where.machine[0], where.runtime_record[0])
        )
        left = own.available_bytes + usable
        return np.asarray(np.where(left >= own.kv_bytes(self.profile.longest), left / own.available_bytes, 0.0))

    def _cases(self, scales: Scales, watts: np.ndarray, asked: Asked, housing: Mapping[str, np.ndarray]) -> Cases:
        described = {each.label: each.quantity.value for each in _of_housing(self.deployment)}
        host, supply = (
            housing.get(name, np.full(len(watts), described.get(name, math.nan)))
            for name in ("host", "supply_efficiency")
        )
        return Cases(scales, watts, asked, host, supply)


def machines_drawn(numbers: FleetNumbers) -> list[Deployment]:
    """MACHINES deployments, drawn from the ranges of all numbers of machine and software."""
    return list(drawn_deployments(numbers.deployment, numbers.seed, MACHINES))


def _stall_ms(runtimes: np.ndarray) -> np.ndarray:
    """Mean stall of the host in a step."""
    return np.asarray(runtimes["host_stall_probability"] * runtimes["host_stall_time"] * MS_PER_S)


def ranged_of_profile(profile: Profile) -> list[RangedNumber]:
    """The numbers of a profile that have a range."""
    told = provenances(profile.name, profile)
    numbers = [RangedNumber(profile.name, "", None, each.quantity, each.path, each.domain) for each in told]
    return [each for each in numbers if is_ranged(each.quantity)]


def _of_housing(deployment: Deployment) -> list[RangedNumber]:
    housing, owner = deployment.system.housing, deployment.system.name
    told = () if housing is None else provenances(owner, housing)
    return [RangedNumber(owner, "", None, each.quantity, each.path, each.domain) for each in told]


def _with(profile: Profile, values: Mapping[RangedNumber, float]) -> Profile:
    """The profile with other values."""
    changed: dict[str, Quantity] = {
        number.label: number.quantity.model_copy(update={"value": value}) for number, value in values.items()
    }
    return with_quantities(profile, changed)
