"""Cells of a grid that could be measured: how long each takes, and draws of its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.errors import DoesNotFit
from npusim.explore.sweep.estimate import Figures, estimate_figures
from npusim.explore.sweep.machines import Records
from npusim.lab.planning.sampling_file import Sampling
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import ranged_shared, with_shared
from npusim.metric_names import metric
from npusim.workload.grid import Grid

DRAWS = 64
"""Machines drawn for the covariance of the cells' figures."""
_RATE = "output_tokens_per_s"
_OF_MEDIAN = math.sqrt(math.pi / 2.0)
"""Standard deviation of a median over that of a mean, of many normal values."""


@dataclass(frozen=True)
class Candidate:
    """A cell. figures: on the given numbers, (figures,); drawn: the logarithms over these, (draws, figures); runs: that
    it takes; seconds: of one of them; minutes: of all, with the set-up."""

    chip: str
    model: str
    precision: str
    cards: int
    isl: int
    osl: int
    users: int
    figures: np.ndarray
    drawn: np.ndarray
    runs: int
    seconds: float
    minutes: float


@dataclass(frozen=True)
class Unfit:
    """A cell that cannot be measured, and why."""

    model: str
    isl: int
    osl: int
    users: int
    reason: str


def runs_needed(sampling: Sampling, uncertainty: float) -> int:
    """Runs after which k standard deviations of their median are the wanted part of it: n = (k c v / U)^2, with the
    relative standard deviation v of one run (JCGM 100:2008, 4.2.3) and that of a median over a mean's, c."""
    spread = sampling.figures[0].spread.value
    wanted = (sampling.coverage_factor.value * _OF_MEDIAN * spread / uncertainty) ** 2
    return max(int(sampling.runs.value), math.ceil(wanted))


def candidates(
    deployment: Deployment, grid: Grid, sampling: Sampling, runs: int, seed: int
) -> Iterator[Candidate | Unfit]:
    """Every cell of the grid. Figures are estimated from the cost of a prompt and of a decode step on each draw."""
    try:
        deployment.require_fit(1)
    except DoesNotFit as error:
        yield from (Unfit(deployment.model.name, *cell, error.message) for cell in grid.cells())
        return
    own = Records(deployment.machine, deployment.runtime_record)
    drawn = _Drawn(deployment, seed)
    names = tuple(dict.fromkeys([_RATE, *(_estimate(each.metric)[0] for each in sampling.figures)]))
    for isl, osl, users in grid.cells():
        value = estimate_figures(deployment, own, isl, osl, users, names)
        rate = float(value[_RATE][0])
        logs = _logs(drawn.figures(isl, osl, users, names), sampling)
        if not math.isfinite(rate) or not np.isfinite(logs).all():
            yield Unfit(deployment.model.name, isl, osl, users, "no request of this length has room")
            continue
        served_s = grid.requests_per_user * users * osl / rate
        seconds = max(sampling.duration.value, served_s)
        minutes = (sampling.setup.value + runs * seconds) / _PER_MINUTE
        figures = np.exp(_logs(value, sampling))[0]
        yield Candidate(
            deployment.system.name, deployment.model.name, deployment.precision.name, deployment.plan.cards, isl, osl,
            users, figures, logs - np.log(figures), runs, seconds, minutes,
        )  # fmt: skip


_PER_MINUTE = 60.0
"""Seconds of a minute."""


_RECORDS = ("machine", "runtime_record")


class _Drawn:
    """Deployments drawn from the ranges of all numbers, as intervals are."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        shared = ranged_shared(deployment)
        machines, runtimes, values = deployment.drawn(shared, DRAWS, seed)
        drawn = []
        for index in range(DRAWS):
            told = {number: float(column[index]) for number, column in values.items()}
            one = slice(index, index + 1)
            drawn.append(with_shared(deployment, told).with_records(machines[one], runtimes[one]))
        if shared:
            self._parts = [(each, Records(each.machine, each.runtime_record)) for each in drawn]
        else:
            records = (np.concatenate([getattr(each, name) for each in drawn]) for name in _RECORDS)
            self._parts = [(deployment, Records(*records))]

    def figures(self, isl: int, osl: int, users: int, names: Sequence[str]) -> Figures:
        """Estimates by name, (draws,) each."""
        parts = [estimate_figures(where, records, isl, osl, users, names) for where, records in self._parts]
        return {name: np.concatenate([each[name] for each in parts]) for name in names}


def _estimate(name: str) -> tuple[str, float]:
    row = metric(name)
    assert row is not None and row.follows is not None
    return row.follows.estimate, row.follows.power


def _logs(found: Figures, sampling: Sampling) -> np.ndarray:
    """Logarithms of the plan's figures, (draws, figures)."""
    known = (_estimate(each.metric) for each in sampling.figures)
    return np.stack([power * np.log(found[name]) for name, power in known], axis=1)
