"""How wrong scaled runs are: a few drawn cases whose rate is found by simulation anew, machine and profile as drawn.

Draws are not simulated: their rates are those of the described instance, scaled (`response`). Scaling by means sees the
tail of a longer profile or a slower machine too late or too early. Each case that is simulated anew tells a ratio of
rates, anew over scaled; every draw takes one of these ratios by chance (bootstrap, Efron, Ann. Statist. 7(1), 1979), so
that intervals are as wide as scaling is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.errors import DoesNotFit
from npusim.explore.fleet.capacity import COARSE, largest_near, trials_of
from npusim.explore.fleet.cases import Cases
from npusim.explore.fleet.numbers import ERRORS_EACH, FleetNumbers, machines_drawn
from npusim.mapping.deployment import Deployment
from npusim.workload.profile import Profile

CASES = 6
"""Drawn cases that are simulated anew."""
_STEP = 1.2
"""Factor between rates until one breaks the objectives."""
_STREAM = 7
"""Which draw takes which ratio is drawn apart from all else that a seed draws."""


@dataclass(frozen=True)
class Anew:
    """ratios: of rates that were found anew over the scaled ones, float64 (CASES,); 0 where no rate keeps the
    objectives though the scaled run did."""

    ratios: np.ndarray

    def drawn(self, count: int, seed: int) -> np.ndarray:
        """A ratio for each of `count` draws, float64."""
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
        return np.asarray(generator.choice(self.ratios, count))


def found_anew(numbers: FleetNumbers, drawn: Cases) -> Anew:
    """Ratios of some of the drawn cases of `numbers`, evenly apart, among those that the scaled runs can serve."""
    one = np.ones(len(drawn))
    scaled = numbers.response.alone_rates(drawn.scales.change(first=one, token=one))
    served = np.flatnonzero(scaled > 0.0)
    if not len(served):
        return Anew(np.ones(1))
    places = served[np.linspace(0, len(served) - 1, min(CASES, len(served))).round().astype(int)]
    machines, profiles = machines_drawn(numbers), numbers.profiles_drawn()
    found = [_rate(numbers, machines[at // ERRORS_EACH], profiles[at], float(scaled[at])) for at in places.tolist()]
    return Anew(np.array(found) / scaled[places])


def _rate(numbers: FleetNumbers, where: Deployment, profile: Profile, start: float) -> float:
    """The largest rate of an instance alone that keeps the objectives, sought about `start`; 0 where none does."""
    try:
        trials = trials_of(where, profile, numbers.slo, numbers.seed, numbers.chance)
    except DoesNotFit:
        return 0.0
    return largest_near(lambda rate: trials.at(rate).kept, start, _STEP, COARSE) if trials.alone.kept else 0.0
