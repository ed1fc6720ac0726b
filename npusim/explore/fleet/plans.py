"""Which plan an instance has: the one that is told, or the one that serves the most requests a second and card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from npusim.errors import DoesNotFit, UserError
from npusim.explore.fleet.capacity import COARSE, Capacity, Trials, find_capacity, trials_of, without_replicas
from npusim.explore.fleet.group import RoutedGroup
from npusim.mapping.deployment import Deployment
from npusim.mapping.plan import make_plan
from npusim.serving.slo import Slo
from npusim.words import Phrase
from npusim.workload.profile import Profile


@dataclass(frozen=True)
class Tried:
    """One plan: requests a second at the objectives, 0 with the reason where they are not kept."""

    plan: str
    cards: int
    rate_per_s: float
    reason: Phrase | None

    @property
    def per_card(self) -> float:
        return self.rate_per_s / self.cards


@dataclass(frozen=True)
class FleetInstance:
    """trials: of the chosen plan; capacity: what it serves; tried: all plans that were; router: the group whose router
    the capacity is behind, None where it is that of an instance alone."""

    trials: Trials
    capacity: Capacity
    tried: tuple[Tried, ...]
    router: RoutedGroup | None = None

    @property
    def deployment(self) -> Deployment:
        return self.trials.deployment


Finds = Callable[[Trials, bool], Capacity]
"""What an instance serves; coarsely where the second is false."""


def at_objectives(trials: Trials, is_fine: bool) -> Capacity:
    """What an instance serves at the objectives."""
    return find_capacity(trials) if is_fine else find_capacity(trials, COARSE, curves=False)


def best_instance(
    base: Deployment,
    profile: Profile,
    slo: Slo,
    seed: int,
    is_told: bool,
    group: RoutedGroup,
    finds: Finds = at_objectives,
) -> FleetInstance:
    """The instance of a deployment under its own plan where that is told, else under the best of tensor parallelism on
    1, 2, 4 ... cards; each by itself, with its part of a cell's requests.

    Raises DoesNotFit where none holds the longest request.
    """
    candidates = [without_replicas(base)] if is_told else _candidates(base)
    found: list[tuple[Trials, Capacity]] = []
    unfit: DoesNotFit | None = None
    for candidate in candidates:
        try:
            trials = trials_of(candidate, profile, slo, seed, group)
        except DoesNotFit as error:
            unfit = error
            continue
        found.append((trials, finds(trials, len(candidates) == 1)))
    if not found:
        assert unfit is not None
        raise unfit
    tried = tuple(_tried(*each) for each in found)
    best = max(range(len(found)), key=lambda at: (tried[at].per_card, -_alone_ms(found[at][1])))
    trials, known = found[best]
    is_known = len(candidates) == 1 or known.rate_per_s == 0.0
    return FleetInstance(trials, known if is_known else finds(trials, True), tried)


def _alone_ms(capacity: Capacity) -> float:
    return float(capacity.alone.metrics["e2e_ms_mean"])


def _tried(trials: Trials, capacity: Capacity) -> Tried:
    plan = trials.deployment.plan
    return Tried(plan.name, plan.cards, capacity.rate_per_s, capacity.reason)


def _candidates(base: Deployment) -> list[Deployment]:
    """Tensor parallelism on 1, 2, 4 ... cards, as far as the architecture joins them and the model has heads."""
    found, cards = [], 1
    while cards <= base.system.max_cards:
        try:
            found.append(base.under(make_plan(base.system, cards, None, base.model)))
        except UserError:
            break
        cards *= 2
    return found
