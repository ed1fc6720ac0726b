"""The numbers that decide a claim: which ranges move it most, and what each would have to be alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from npusim.explore.evaluate.proposal import Claim
from npusim.explore.one_changed import Change, estimates_of, every_of, ranged_of, to_ends
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import Records
from npusim.hardware.draws import RangedNumber, is_ranged
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Follows
from npusim.metrics import metric

MOST = 3
_LEAST_SWING = 1e-3
REACH = 30.0
_NEXT = 4
"""Whole counts that are tried from the one before the number at which the claim just holds."""


@dataclass(frozen=True)
class ClaimDecider:
    """owner, path: of the number; quantity: its provenance; at_low, at_high: the claim's figure at the ends of its
    range (the prediction itself without a range), all else at its value; needed: the value at which the claim's
    prediction just holds, of a count the next whole one that passes, None where none within a factor of 30 does;
    wants_more: whether it holds above that; is_count: whether the number counts things, which have no fractions."""

    owner: str
    path: str
    quantity: Quantity
    at_low: float
    at_high: float
    needed: float | None
    wants_more: bool
    is_count: bool = False

    @property
    def swing(self) -> float:
        return abs(math.log(self.at_high / self.at_low))

    @property
    def is_ranged(self) -> bool:
        return is_ranged(self.quantity)


def claim_deciders(claim: Claim, deployment: Deployment, value: float) -> list[ClaimDecider]:
    """The numbers that decide a claim, at most MOST. value: the prediction.

    Those whose ranges move it most, the greatest first; where none of these can make a claim hold that does not, those
    of all numbers that would with the least change. None where no estimate follows the metric.
    """
    if follows(claim) is None:
        return []
    found = _moving(claim, deployment, value)
    if claim.holds(value) or any(each.needed is not None for each in found):
        return found
    return _reaching(claim, deployment, value) or found


def _moving(claim: Claim, deployment: Deployment, value: float) -> list[ClaimDecider]:
    numbers = ranged_of(deployment)
    ratios = _changed(claim, deployment, to_ends(numbers)).reshape(-1, 2)
    swings = np.abs(np.log(ratios[:, 1] / ratios[:, 0]))
    order = [index for index in np.argsort(-swings, kind="stable") if math.isfinite(swings[index])]
    return [
        _decider(claim, deployment, numbers[index], value, ratios[index])
        for index in order[:MOST]
        if swings[index] > _LEAST_SWING
    ]


def _reaching(claim: Claim, deployment: Deployment, value: float) -> list[ClaimDecider]:
    """The numbers, ranged or not, that alone make the claim hold with the least change of their logarithm."""
    numbers = [members for members in every_of(deployment) if members[0].quantity.value]
    quantities = ((members, members[0].quantity) for members in numbers)
    ends = [(members, known.value * factor) for members, known in quantities for factor in _reach(known)]
    figures = value * _changed(claim, deployment, ends).reshape(-1, 2)
    able = [members for members, both in zip(numbers, figures, strict=True) if any(map(claim.holds, both))]
    found = [_decider(claim, deployment, members, value, np.ones(2)) for members in able]
    reached = [each for each in found if each.needed is not None]
    return sorted(reached, key=lambda each: abs(math.log((each.needed or 1.0) / each.quantity.value)))[:MOST]


def _decider(
    claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float, ratios: np.ndarray
) -> ClaimDecider:
    number, needed = members[0], _needed(claim, deployment, members, value)
    wants_more = needed is not None and (needed > number.quantity.value) != claim.holds(value)
    if needed is not None and number.is_count:
        needed = _whole(claim, deployment, members, value, needed, wants_more)
    ends = value * float(ratios[0]), value * float(ratios[1])
    return ClaimDecider(number.owner, number.label, number.quantity, *ends, needed, wants_more, number.is_count)


def relative(claim: Claim, deployment: Deployment, records: Records) -> np.ndarray:
    """The claim's figure on each of the records, relative to that on the deployment's own."""
    return _over_own(claim, deployment, estimate_designs(deployment, records, claim.isl, claim.osl, claim.users))


def _changed(claim: Claim, deployment: Deployment, changes: Sequence[Change]) -> np.ndarray:
    """The claim's figure under each change alone, relative to that without one."""
    return _over_own(claim, deployment, estimates_of(deployment, changes, claim.isl, claim.osl, claim.users))


def _over_own(claim: Claim, deployment: Deployment, other: pd.DataFrame) -> np.ndarray:
    known = follows(claim)
    assert known is not None, claim.figure
    records = Records(deployment.machine, deployment.runtime_record)
    own = estimate_designs(deployment, records, claim.isl, claim.osl, claim.users)
    return (other[known.estimate].to_numpy(float) / float(own[known.estimate].iloc[0])) ** known.power


def follows(claim: Claim) -> Follows | None:
    """The estimate that the claim's metric follows; None where none does."""
    row = metric(claim.figure)
    return None if row is None else row.follows


def _needed(claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float) -> float | None:
    """The number's value at which the prediction meets the claim, alone; None where none within reach does."""
    start = members[0].quantity.value

    def short(log_factor: float) -> float:
        ratio = _changed(claim, deployment, [(members, start * math.exp(log_factor))])[0]
        return math.log(value * ratio / claim.value) if math.isfinite(ratio) and ratio > 0.0 else math.nan

    if start <= 0.0:
        return None
    for factor in _reach(members[0].quantity):
        end = math.log(factor)
        ends = short(0.0), short(end)
        if end != 0.0 and math.isfinite(ends[1]) and ends[0] * ends[1] <= 0.0:
            return start * math.exp(float(brentq(short, *sorted((0.0, end)), xtol=1e-4)))
    return None


def _whole(
    claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float, needed: float, wants_more: bool
) -> float | None:
    """The whole count next to `needed` at which the claim holds; None where none of the next few does."""
    first, step = (math.floor(needed), 1) if wants_more else (math.ceil(needed), -1)
    counts = [float(each) for each in range(first, first + step * _NEXT, step) if each >= 1]
    ratios = _changed(claim, deployment, [(members, each) for each in counts])
    return next((each for each, ratio in zip(counts, ratios, strict=True) if claim.holds(value * float(ratio))), None)


def _reach(quantity: Quantity) -> tuple[float, float]:
    """The largest and the least part of its value that a number may become; a part of something is at most one."""
    is_part = quantity.unit == "" and quantity.value <= 1.0
    return (min(REACH, 1.0 / quantity.value) if is_part else REACH), 1.0 / REACH
