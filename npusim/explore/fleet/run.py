"""Fleets of several architectures for one service, each worked out by itself: here, on a Dask or on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace

from npusim.errors import DoesNotFit, UserError
from npusim.explore.fleet.autoscale import AutoscaleAsked
from npusim.explore.fleet.cells import CELL
from npusim.explore.fleet.direct import DirectAsked, check_judged, direct_check
from npusim.explore.fleet.disturbed import with_disturbances
from npusim.explore.fleet.group import RoutedGroup
from npusim.explore.fleet.mixed import JOINS, parts_of
from npusim.explore.fleet.mixed_option import mixed_option
from npusim.explore.fleet.numbers import FleetNumbers
from npusim.explore.fleet.offline import Corpus, offline_option
from npusim.explore.fleet.option import FleetOption, no_fleet, option_of
from npusim.explore.fleet.plans import best_instance
from npusim.explore.fleet.routed import behind_router
from npusim.explore.fleet.traffic import OfUsers
from npusim.explore.sweep.backend import Backend
from npusim.hardware.catalog import load_system
from npusim.mapping.deployment import Deployment, DeployWords, deploy
from npusim.serving.slo import Slo
from npusim.words import Phrase
from npusim.workload.catalog import load_model
from npusim.workload.profile import Profile


@dataclass(frozen=True)
class FleetAsked:
    """model: by name; profile; seed; told: what `deploy` is told beside architecture, model and tokens; is_planned:
    whether that says the plan; users and slo: of those who wait for answers; routing: to which instance of a cell a
    request is sent; link: between two pools, None for that of their servers; autoscale: how servers that are switched
    off start again; corpus: offline, in place of users."""

    model: str
    profile: Profile
    seed: int
    told: DeployWords
    is_planned: bool
    users: float | None = None
    slo: Slo | None = None
    routing: str = ""
    link: str | None = None
    autoscale: AutoscaleAsked | None = None
    corpus: Corpus | None = None
    direct: DirectAsked | None = None


def fleets(archs: tuple[str, ...], asked: FleetAsked, where: Backend) -> list[FleetOption]:
    """The option of each architecture, in that order; the same however many processes work.

    Raises UserError for what is mistaken for every architecture.
    """
    load_model(asked.model)
    if asked.users is not None:
        OfUsers(asked.users)(asked.profile)
    if asked.direct is not None and asked.slo is not None:
        check_judged(asked.slo)
    titles = [f" {JOINS} ".join(load_system(part).title for part in parts_of(each)) for each in archs]
    names = [f"{place:04d}" for place in range(len(archs))]
    calls = [
        (name, (arch, title, replace(asked, direct=None)))
        for name, arch, title in zip(names, archs, titles, strict=True)
    ]
    found = dict(where.run(_fleet_or_reason, calls))
    mistakes = [found[name] for name in names if isinstance(found[name], UserError)]
    if mistakes and len(mistakes) == len(archs):
        raise mistakes[0]
    options = [
        no_fleet(arch, title, _as_told(found[name])) if isinstance(found[name], UserError) else found[name]
        for name, arch, title in zip(names, archs, titles, strict=True)
    ]
    if asked.direct is None:
        return options
    return [with_disturbances(direct_check(option, asked, where), asked) for option in options]


def _fleet_or_reason(arch: str, title: str, asked: FleetAsked) -> FleetOption | UserError:
    """A mistake that may be of this architecture alone is handed back: others go on."""
    try:
        parts = parts_of(arch)
        return _fleet(arch, title, asked) if len(parts) == 1 else mixed_option(parts, title, asked)
    except DoesNotFit as error:
        return no_fleet(arch, title, _as_told(error))
    except UserError as error:
        return error


def _as_told(error: UserError) -> Phrase:
    return Phrase("{reason}", {"reason": str(error)})


def _fleet(arch: str, title: str, asked: FleetAsked) -> FleetOption:
    base = deployed_for(arch, asked)
    if asked.corpus is not None:
        return offline_option(arch, base, asked.profile, asked.corpus, asked.seed, asked.is_planned)
    assert asked.slo is not None and asked.users is not None
    group = RoutedGroup(asked.routing, 1, CELL)
    instance = best_instance(base, asked.profile, asked.slo, asked.seed, asked.is_planned, group)
    asks = OfUsers(asked.users)
    if instance.capacity.rate_per_s > 0.0:
        instance = behind_router(instance, asks(asked.profile), asked.profile.headroom.planned_load.value)
    if instance.capacity.rate_per_s == 0.0:
        return no_fleet(arch, title, instance.capacity.reason, instance)
    where, chance = instance.deployment, instance.trials.group
    numbers = FleetNumbers(where, asked.profile, asked.slo, asks, instance.capacity, asked.seed, chance)
    return option_of(arch, instance, numbers, asked.autoscale)


def deployed_for(arch: str, asked: FleetAsked) -> Deployment:
    """The deployment that is told; of one card where its plan is still to be found. Raises UserError."""
    told = asked.told.copy()
    if not asked.is_planned:
        told["cards"] = 1
    return deploy(arch, asked.model, tokens=asked.profile.longest, **told)
