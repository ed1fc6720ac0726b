"""The numbers that decide a claim: which ranges move it most, and what each would have to be alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from npusim.hardware.draws import RangedNumber, ranged_numbers
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.studies.evaluate.proposal import Claim
from npusim.studies.sweep.estimate import estimate
from npusim.studies.sweep.machines import Records

MOST = 3
_LEAST_SWING = 1e-3
REACH = 30.0
"""Factor within which a needed value is looked for."""
_ESTIMATES = {
    "tokens_per_s_per_user": ("decode_ms", -1.0),
    "output_tokens_per_s": ("output_tokens_per_s", 1.0),
    "total_tokens_per_s": ("output_tokens_per_s", 1.0),
    "tpot_ms": ("decode_ms", 1.0),
    "ttft_ms": ("prefill_ms", 1.0),
    "e2e_ms": ("output_tokens_per_s", -1.0),
    "power_w": ("power_w", 1.0),
    "tokens_per_joule": ("tokens_per_joule", 1.0),
}
"""The estimate that a metric follows, and the power with which it does."""


@dataclass(frozen=True)
class Decider:
    """owner, path: of the number; quantity: its certificate; at_low, at_high: the claim's figure at the ends of its
    range, all else at its value; needed: the value at which the claim's prediction just holds, None where none within
    a factor of 30 does."""

    owner: str
    path: str
    quantity: Quantity
    at_low: float
    at_high: float
    needed: float | None

    @property
    def swing(self) -> float:
        return abs(math.log(self.at_high / self.at_low))


def deciders(claim: Claim, deployment: Deployment, value: float) -> list[Decider]:
    """The numbers whose ranges move the claim most, the greatest first, at most MOST. value: the prediction."""
    numbers = distinct(ranged_numbers(deployment.system, deployment.runtime))
    ends = [end for members in numbers for end in (members[0].quantity.low, members[0].quantity.high)]
    records = _records(deployment, [members for members in numbers for _ in range(2)], ends)
    ratios = relative(claim, deployment, records)
    found = []
    for place, members in enumerate(numbers):
        low, high = ratios[2 * place], ratios[2 * place + 1]
        if math.isfinite(low) and math.isfinite(high) and abs(math.log(high / low)) > _LEAST_SWING:
            number = members[0]
            needed = _needed(claim, deployment, members, value)
            ends_of = value * float(low), value * float(high)
            found.append(Decider(number.owner, number.label, number.quantity, *ends_of, needed))
    return sorted(found, key=lambda each: -each.swing)[:MOST]


def distinct(numbers: list[RangedNumber]) -> list[list[RangedNumber]]:
    """Numbers that are one: a certificate that several fields of one owner share."""
    groups: dict[tuple[str, str, Quantity], list[RangedNumber]] = {}
    for number in numbers:
        groups.setdefault((number.owner, number.name, number.quantity), []).append(number)
    return list(groups.values())


def _records(deployment: Deployment, numbers: list[list[RangedNumber]], values: list[float | None]) -> Records:
    """Records with one number each at one value, all else as it is."""
    machines = np.repeat(deployment.machine, len(values))
    runtimes = np.repeat(deployment.runtime_record, len(values))
    for row, (members, value) in enumerate(zip(numbers, values, strict=True)):
        for number in members:
            target = machines if number.owner == deployment.system.name else runtimes
            if number.place is None:
                target[number.name][row] = value
            else:
                target[number.name][row, number.place] = value
    return Records(machines, runtimes)


def relative(claim: Claim, deployment: Deployment, records: Records) -> np.ndarray:
    """The claim's figure on each of the records, relative to that on the deployment's own."""
    column, power = _ESTIMATES[claim.metric]
    own = estimate(
        deployment, Records(deployment.machine, deployment.runtime_record), claim.isl, claim.osl, claim.users
    )
    other = estimate(deployment, records, claim.isl, claim.osl, claim.users)
    return (other[column].to_numpy(float) / float(own[column].iloc[0])) ** power


def _needed(claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float) -> float | None:
    """The number's value at which the prediction meets the claim, alone; None where none within reach does."""
    start = members[0].quantity.value

    def short(log_factor: float) -> float:
        ratio = relative(claim, deployment, _records(deployment, [members], [start * math.exp(log_factor)]))[0]
        return math.log(value * ratio / claim.value) if math.isfinite(ratio) and ratio > 0.0 else math.nan

    if start <= 0.0:
        return None
    reach = math.log(REACH)
    for end in (reach, -reach):
        if members[0].quantity.unit == "" and members[0].quantity.value <= 1.0 and end > 0.0:
            end = min(end, -math.log(start)) if start < 1.0 else 0.0
        ends = short(0.0), short(end)
        if end != 0.0 and math.isfinite(ends[1]) and ends[0] * ends[1] <= 0.0:
            return start * math.exp(float(brentq(short, *sorted((0.0, end)), xtol=1e-4)))
    return None
