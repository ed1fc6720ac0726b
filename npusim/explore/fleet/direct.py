"""The estimate checked by simulating many instances behind a router at once.

Instances are in cells, each with a router of its own that takes a random part of the requests, as large services are
built; cells are simulated by themselves, so that their number and not that of the workers decides the answer. The
largest rate at which all requests together keep the objectives is sought about the estimate's, which has every instance
alone with whole sessions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from npusim.errors import UserError
from npusim.explore.fleet.capacity import Window, largest_near, queue_grows, trials_of
from npusim.explore.fleet.group import CELL
from npusim.explore.fleet.option import FleetOption
from npusim.explore.sweep.backend import Backend
from npusim.mapping.deployment import Deployment
from npusim.metrics import PER_REQUEST
from npusim.serving.instances.simulate import InstancesRun, replicas_of, simulate_instances
from npusim.serving.served import column_of
from npusim.serving.slo import Slo
from npusim.units import MS_PER_S
from npusim.workload.arrivals import Timed

if TYPE_CHECKING:
    from npusim.explore.fleet.run import FleetAsked

_STEP = 1.08
"""Factor between rates until one breaks the objectives."""
_FINE = 0.02
"""Part of itself to which the rate is found."""


@dataclass(frozen=True)
class DirectAsked:
    """instances: simulated together; routing: to which of its cell a request is sent."""

    instances: int
    routing: str

    @property
    def cells(self) -> list[int]:
        """Instances of each cell, as equal as can be."""
        count = math.ceil(self.instances / CELL)
        return [self.instances // count + (place < self.instances % count) for place in range(count)]


def check_judged(slo: Slo) -> None:
    """Raises UserError for a limit that is not judged over many instances."""
    unjudged = [name for name, _ in slo.limits if name.rpartition("_")[0] not in PER_REQUEST]
    if unjudged:
        message = f"judges ttft, tpot and e2e alone; leave {unjudged[0]} out of --slo, or --direct"
        raise UserError("--direct", "", message)


def direct_check(option: FleetOption, asked: FleetAsked, where: Backend) -> FleetOption:
    """The option with what the simulation of many instances says of its rate; itself without a fleet."""
    if option.draws is None or asked.slo is None or asked.direct is None or option.deployment is None:
        return option
    window = trials_of(option.deployment, asked.profile, asked.slo, asked.seed).window
    search = _Search(option.deployment, window, asked.slo, asked.direct, where)
    estimate = option.value("requests_per_s_per_instance")
    rate = search.largest(estimate)
    told = {
        "instances": asked.direct.instances,
        "cells": len(asked.direct.cells),
        "routing": asked.direct.routing,
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
        frames: Mapping[str, pd.DataFrame] = dict(self.where.run(_cell, calls))
        rows = pd.concat([frames[name] for name in sorted(frames)], ignore_index=True)
        self.requests = len(rows)
        return not rows["unsteady"].any() and slo_kept(self.slo, rows)


def slo_kept(slo: Slo, rows: pd.DataFrame) -> bool:
    """Whether requests, a row each with latencies in ms, keep every limit."""
    return all(statistic(rows, name) <= limit for name, limit in slo.limits)


def statistic(rows: pd.DataFrame, name: str) -> float:
    """A figure such as ttft_ms_p99 of requests, a row each with latencies in ms."""
    quantity, _, statistic = name.rpartition("_")
    values = rows[quantity].to_numpy(float)
    values = values[np.isfinite(values)]
    return float(values.mean() if statistic == "mean" else np.percentile(values, float(statistic[1:])))


def _cell(where: Deployment, window: Window, rate_per_s: float, count: int, routing: str, place: int) -> pd.DataFrame:
    """A row for each request of a cell that counts; unsteady: in all, where a queue grows or a request is refused.

    place: of the cell, whose requests are drawn by a seed of their own.
    """
    load = window.load_at(rate_per_s, count, place)
    run = simulate_instances(replicas_of(where, count), load, window.seed + place, routing)
    assert isinstance(load.arrival, Timed)
    return _rows(run, load.warm_up, load.arrival.sent_s[-1])


def _rows(run: InstancesRun, warm_up: int, last_s: float) -> pd.DataFrame:
    record: Any = run.whole.record
    columns = ("index", "osl", "sent_s", "first_token_s", "last_token_s")
    index, osl, sent_s, first_s, last_token_s = (column_of(record.requests, name) for name in columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        tpot = np.where(osl > 1, (last_token_s - first_s) / (osl - 1), np.nan)
    found = zip(PER_REQUEST, (first_s - sent_s, tpot, last_token_s - sent_s), strict=True)
    frame = pd.DataFrame({name: seconds * MS_PER_S for name, seconds in found})[index >= warm_up]
    return frame.assign(unsteady=bool(record.refused) or queue_grows(record.requests, last_s))
