"""Estimated figures of a deployment with one of its numbers changed, all else as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import Records
from npusim.hardware.draws import RangedNumber, all_numbers, distinct, is_ranged, ranged_numbers
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import ranged_shared, with_shared

OneChange = tuple[list[RangedNumber], float]
"""The fields that are one number, and the value (SI) that it is given."""
UNCHANGED: OneChange = ([], 0.0)


def ranged_of(deployment: Deployment) -> list[list[RangedNumber]]:
    """The numbers with a range on which a deployment can depend, own and shared; a list of the fields of each."""
    return distinct([*ranged_numbers(deployment.system, deployment.runtime), *ranged_shared(deployment)])


def every_of(deployment: Deployment) -> list[list[RangedNumber]]:
    """Those and its own numbers without a range: the bits of a format that its definition gives are none to ask for."""
    return distinct([*all_numbers(deployment.system, deployment.runtime), *ranged_shared(deployment)])


def to_ends(numbers: Sequence[list[RangedNumber]]) -> list[OneChange]:
    """Each number at the low and at the high end of its range."""
    assert all(is_ranged(members[0].quantity) for members in numbers)
    ends = ((members, (members[0].quantity.low, members[0].quantity.high)) for members in numbers)
    return [(members, float(end)) for members, both in ends for end in both if end is not None]


def estimates_of(
    deployment: Deployment,
    changes: Sequence[OneChange],
    isl: int,
    osl: int,
    users: int,
    figures: Collection[str] | None = None,
) -> pd.DataFrame:
    """The estimates of the deployment with each change alone, a row a change; figures: which, None for all."""
    load = isl, osl, users
    found = [
        estimate_designs(
            with_shared(deployment, dict.fromkeys(members, value)), _own(deployment, 1), *load, figures=figures
        )
        for members, value in changes
        if _is_shared(members)
    ]
    written = [(members, value) for members, value in changes if not _is_shared(members)]
    if written:
        found.insert(0, estimate_designs(deployment, _written(deployment, written), *load, figures=figures))
    apart = [_is_shared(members) for members, _ in changes]
    order = np.argsort(np.argsort(apart, kind="stable"), kind="stable")
    return pd.concat(found, ignore_index=True).iloc[order].reset_index(drop=True)


def _is_shared(members: list[RangedNumber]) -> bool:
    return any(number.is_shared for number in members)


def _own(deployment: Deployment, count: int) -> Records:
    return Records(np.repeat(deployment.machine, count), np.repeat(deployment.runtime_record, count))


def _written(deployment: Deployment, changes: Sequence[OneChange]) -> Records:
    records = _own(deployment, len(changes))
    for row, (members, value) in enumerate(changes):
        for number in members:
            target = records.machines if number.owner == deployment.system.name else records.runtimes
            number.put(target[row : row + 1], value)
    return records
