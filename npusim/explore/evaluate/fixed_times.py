"""How short all fixed times together would have to be, where no number alone makes a claim hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.deciders import REACH
from npusim.explore.evaluate.estimated import follows, relative
from npusim.explore.sweep.machines import Records
from npusim.hardware.draws import RangedNumber, distinct, ranged_numbers
from npusim.mapping.deployment import Deployment

_MOST = 4
_SECONDS = "s"


@dataclass(frozen=True)
class ShorterTime:
    """owner, path: of a fixed time; value, needed: seconds."""

    owner: str
    path: str
    value: float
    needed: float


@dataclass(frozen=True)
class FixedTimes:
    """part: of its value that every ranged time must be; longest: those that would count most if they stayed."""

    part: float
    longest: tuple[ShorterTime, ...]


def fixed_times(claim: Claim, deployment: Deployment, value: float) -> FixedTimes | None:
    """The part of all times with a range at which the claim just holds; None where it holds, or none does.

    value: the prediction.
    """
    times = [members for members in distinct(ranged_numbers(deployment.system, deployment.runtime)) if _counts(members)]
    if not times or claim.holds(value) or follows(claim) is None:
        return None

    def missed(log_part: float) -> float:
        return math.log(
            value * float(relative(claim, deployment, _scaled(deployment, times, log_part))[0]) / claim.value
        )

    if missed(-math.log(REACH)) * missed(0.0) > 0.0:
        return None
    log_part = float(brentq(missed, -math.log(REACH), 0.0, xtol=1e-4))
    part = math.exp(log_part)
    return FixedTimes(
        part, tuple(_shorter(members[0], part) for members in _heaviest(claim, deployment, times, log_part))
    )


def _counts(members: list[RangedNumber]) -> bool:
    return members[0].quantity.unit == _SECONDS and members[0].quantity.value > 0.0


def _scaled(deployment: Deployment, times: list[list[RangedNumber]], log_part: float) -> Records:
    """One pair of records with all `times` at a part of their values."""
    records = Records(deployment.machine.copy(), deployment.runtime_record.copy())
    for members in times:
        _put(records, deployment, members, 0, members[0].quantity.value * math.exp(log_part))
    return records


def _put(records: Records, deployment: Deployment, members: list[RangedNumber], row: int, value: float) -> None:
    for number in members:
        target = records.machines if number.owner == deployment.system.name else records.runtimes
        number.put(target[row : row + 1], value)


def _heaviest(
    claim: Claim, deployment: Deployment, times: list[list[RangedNumber]], log_part: float
) -> list[list[RangedNumber]]:
    """The times whose staying as they are would move the figure most, all others being shorter; the greatest first."""
    short = _scaled(deployment, times, log_part)
    records = Records(np.repeat(short.machines, len(times)), np.repeat(short.runtimes, len(times)))
    for row, members in enumerate(times):
        _put(records, deployment, members, row, members[0].quantity.value)
    ratios = relative(claim, deployment, records)
    moved = np.abs(np.log(ratios / relative(claim, deployment, short)[0]))
    return [times[index] for index in np.argsort(-moved)[:_MOST]]


def _shorter(number: RangedNumber, part: float) -> ShorterTime:
    return ShorterTime(number.owner, number.label, number.quantity.value, part * number.quantity.value)
