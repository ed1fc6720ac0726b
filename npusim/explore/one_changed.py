"""Estimated figures of a deployment with one of its numbers changed, all else as it is, or with all of them drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from npusim.explore.sweep.estimate import Figures, estimate_figures
from npusim.explore.sweep.machines import Records
from npusim.hardware.draws import RangedNumber, all_numbers, distinct, is_ranged, ranged_numbers
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import ranged_shared, with_shared

Change = tuple[list[RangedNumber], float]
"""The fields that are one number, and the value (SI) that it is given."""
UNCHANGED: Change = ([], 0.0)


def ranged_of(deployment: Deployment) -> list[list[RangedNumber]]:
    """The numbers with a range on which a deployment can depend, own and shared; a list of the fields of each."""
    return distinct([*ranged_numbers(deployment.system, deployment.runtime), *ranged_shared(deployment)])


def every_of(deployment: Deployment) -> list[list[RangedNumber]]:
    """Those and its own numbers without a range: the bits of a format that its definition gives are none to ask for."""
    return distinct([*all_numbers(deployment.system, deployment.runtime), *ranged_shared(deployment)])


def to_ends(numbers: Sequence[list[RangedNumber]]) -> list[Change]:
    """Each number at the low and at the high end of its range."""
    assert all(is_ranged(members[0].quantity) for members in numbers)
    ends = ((members, (members[0].quantity.low, members[0].quantity.high)) for members in numbers)
    return [(members, float(end)) for members, both in ends for end in both if end is not None]


def estimates_of(
    deployment: Deployment, changes: Sequence[Change], isl: int, osl: int, users: int, figures: Collection[str]
) -> Figures:
    """Those estimates of the deployment with each change alone, an array (changes,) each."""
    load = isl, osl, users
    apart = np.array([_is_shared(members) for members, _ in changes], bool)
    parts = [
        estimate_figures(
            with_shared(deployment, dict.fromkeys(members, value)), _own(deployment, 1), *load, figures=figures
        )
        for members, value in changes
        if _is_shared(members)
    ]
    written = [(members, value) for members, value in changes if not _is_shared(members)]
    if written:
        parts.append(estimate_figures(deployment, changed_records(deployment, written), *load, figures=figures))
    places = np.argsort(np.concatenate([np.flatnonzero(apart), np.flatnonzero(~apart)]))
    return {name: np.concatenate([each[name] for each in parts])[places] for name in parts[0]}


def estimates_on(
    deployment: Deployment, others: Sequence[Deployment], load: tuple[int, int, int], figures: Collection[str]
) -> Figures:
    """Those estimates on other deployments of the same plan, an array (others,) each; NaN where not one request of
    `load` (isl, osl, users) has room. Shared assumptions of the others count too."""
    if ranged_shared(deployment):
        parts = [estimate_figures(each, _own(each, 1), *load, figures) for each in others]
        return {name: np.concatenate([each[name] for each in parts]) for name in figures}
    machines = np.concatenate([each.machine for each in others])
    runtimes = np.concatenate([each.runtime_record for each in others])
    return estimate_figures(deployment, Records(machines, runtimes), *load, figures)


def _is_shared(members: list[RangedNumber]) -> bool:
    return any(number.is_shared for number in members)


def _own(deployment: Deployment, count: int) -> Records:
    return Records(np.repeat(deployment.machine, count), np.repeat(deployment.runtime_record, count))


def changed_records(deployment: Deployment, changes: Sequence[Change]) -> Records:
    """The records of the deployment with each change alone; its own where a change is of no record."""
    records = _own(deployment, len(changes))
    for row, (members, value) in enumerate(changes):
        for number in members:
            if number.is_shared:
                continue
            target = records.machines if number.owner == deployment.system.name else records.runtimes
            number.put(target[row : row + 1], value)
    return records
