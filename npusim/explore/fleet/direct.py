"""The estimate checked by simulating many instances behind a router at once.

Instances are in cells, each with a router of its own that takes a random part of the requests, as large services are
built; cells are simulated by themselves, so that their number and not that of the workers decides the answer. The
largest rate at which all requests together keep the objectives is sought about the estimate's, which has every instance
alone with whole sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from npusim.errors import UserError
from npusim.explore.fleet.capacity import Window, largest_near, queue_grows, trials_of
from npusim.explore.fleet.cells import fleet_cells, rows_of, slo_kept
from npusim.explore.fleet.option import FleetOption
from npusim.explore.fleet.traced import TracedLoad, served_trace
from npusim.explore.sweep.backend import Backend
from npusim.mapping.deployment import Deployment
from npusim.metrics import PER_REQUEST
from npusim.serving.instances.simulate import replicas_of, simulate_instances
from npusim.serving.slo import Slo
from npusim.workload.arrivals import Timed

if TYPE_CHECKING:
    from npusim.explore.fleet.run import FleetAsked

_STEP = 1.08
"""Factor between rates until one breaks the objectives."""
_FINE = 0.02
"""Part of itself to which the rate is found."""


@dataclass(frozen=True)
class DirectAsked:
    """instances: simulated together; routing: to which of its cell a request is sent; traced: what they serve, None for
    the profile's requests at the largest rate that keeps the objectives."""

    instances: int
    routing: str
    traced: TracedLoad | None = None

    @property
    def cells(self) -> list[int]:
        """Instances of each cell."""
        return fleet_cells(self.instances)

    @property
    def told(self) -> dict[str, Any]:
        """As the answer has it."""
        return {"instances": self.instances, "cells": len(self.cells), "routing": self.routing}


def check_judged(slo: Slo) -> None:
    """Raises UserError for a limit that is not judged over many instances."""
    unjudged = [name for name, _ in slo.limits if name.rpartition("_")[0] not in PER_REQUEST]
    if unjudged:
        message = f"judges ttft, tpot and e2e alone; leave {unjudged[0]} out of --slo, or --direct"
        raise UserError("--direct", "", message)


def direct_check(option: FleetOption, asked: FleetAsked, where: Backend) -> FleetOption:
    """The option with what the simulation of many instances says; itself without a fleet."""
    direct = asked.direct
    if option.draws is None or asked.slo is None or direct is None or option.deployment is None:
        return option
    if direct.traced is not None:
        served = served_trace(
            option.deployment, direct.traced, direct.cells, direct.routing, asked.slo, asked.seed, where
        )
        return replace(option, direct=direct.told | served)
    window = trials_of(option.deployment, asked.profile, asked.slo, asked.seed).window
    search = _Search(option.deployment, window, asked.slo, direct, where)
    estimate = option.value("requests_per_s_per_instance")
    rate = search.largest(estimate)
    told = direct.told | {
        "requests": search.requests,
        "requests_per_s_per_instance": rate,
        "estimated_requests_per_s_per_instance": estimate,
        "estimated_servers_over_simulated": rate / estimate,
    }
    return replace(option, direct=told)


@dataclass
class _Search:
    deployment: Deployment
    window: Window
    slo: Slo
    asked: DirectAsked
    where: Backend
    requests: int = 0

    def largest(self, start: float) -> float:
        """The largest rate of an instance that keeps the objectives; 0 where none near `start` does."""
        return largest_near(self.keeps, start, _STEP, _FINE)

    def keeps(self, rate_per_s: float) -> bool:
        """Whether all cells together keep the objectives under `rate_per_s` of each instance."""
        calls = [
            (f"{place:04d}", (self.deployment, self.window, rate_per_s, count, self.asked.routing, place))
            for place, count in enumerate(self.asked.cells)
        ]
        frames: Mapping[str, pd.DataFrame] = dict(self.where.run(_cell, calls, at_once=True))
        rows = pd.concat([frames[name] for name in sorted(frames)], ignore_index=True)
        self.requests = len(rows)
        return not rows["unsteady"].any() and slo_kept(self.slo, rows)


def _cell(where: Deployment, window: Window, rate_per_s: float, count: int, routing: str, place: int) -> pd.DataFrame:
    """A row for each request of a cell that counts; unsteady: in all, where a queue grows or a request is refused.

    place: of the cell, whose requests are drawn by a seed of their own.
    """
    load = window.load_at(rate_per_s, count, place)
    run = simulate_instances(replicas_of(where, count), load, window.seed + place, routing)
    assert isinstance(load.arrival, Timed)
    unsteady = bool(run.whole.record.refused) or queue_grows(run.whole.record.requests, load.arrival.sent_s[-1])
    return rows_of(run, load.warm_up).assign(unsteady=unsteady)
