"""Cases of one fleet: the described one, drawn ones, and ones with a single number at an end of its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.explore.fleet.response import Scales
from npusim.explore.fleet.traffic import Asks
from npusim.workload.profile import Profile


@dataclass(frozen=True)
class Asked:
    """What profiles ask for, float64 (cases,) each, `hourly` (cases, 24): requests a second of each hour and at the
    peak, mean tokens, how much of prompts a session repeats, and headroom."""

    hourly: np.ndarray
    peak: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    repeated: np.ndarray
    planned: np.ndarray
    spare_servers: np.ndarray
    spare_racks: np.ndarray


def asked_of(profiles: Sequence[Profile], asks: Asks) -> Asked:
    """What each profile asks for. Raises UserError where one cannot say."""
    demands = [asks(each) for each in profiles]
    return Asked(
        hourly=np.stack([each.requests_per_s for each in demands]),
        peak=np.array([each.peak_per_s for each in demands]),
        prompt=np.array([each.prompt for each in demands]),
        output=np.array([each.output for each in demands]),
        repeated=np.array([_repeated(each) for each in profiles]),
        planned=np.array([each.headroom.planned_load.value for each in profiles]),
        spare_servers=np.array([each.headroom.spare_servers.value for each in profiles]),
        spare_racks=np.array([each.headroom.spare_racks.value for each in profiles]),
    )


def _repeated(profile: Profile) -> float:
    """Part of all prompt tokens that a session had sent before: none in its first request."""
    turns = 1.0 if profile.traffic is None else profile.traffic.turns.value
    return profile.reuse.value * (1.0 - 1.0 / turns)


@dataclass(frozen=True)
class Cases:
    """scales: of instances; watts: of their cards over those of the described ones at the same load; asked: by the
    profile; host_w, efficiency: of the housing, NaN where it is not told. All float64 (cases,)."""

    scales: Scales
    watts: np.ndarray
    asked: Asked
    host_w: np.ndarray
    efficiency: np.ndarray

    def __len__(self) -> int:
        return len(self.watts)


def scaled_by_profile(scales: Scales, asked: Asked, own: Asked, hit: float) -> Scales:
    """The scales with what profiles change: lengths, and what is found in the prefix cache.

    own: of the described profile, one case; hit: part of its prompts' tokens that was found. Hits go with what sessions
    repeat, as far as all of it.
    """
    repeated = asked.repeated / own.repeated if own.repeated[0] > 0.0 else np.zeros_like(asked.repeated)
    computed = (1.0 - np.minimum(hit * repeated, 1.0)) / (1.0 - hit)
    return scales.change(isl=asked.prompt / own.prompt, osl=asked.output / own.output, computed=computed)


def repeat(asked: Asked, count: int) -> Asked:
    """One case, `count` times."""
    return replace(asked, **{name: np.repeat(value, count, axis=0) for name, value in vars(asked).items()})
