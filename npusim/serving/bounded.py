"""What the figures of a run or a pass cannot pass on a chip, whatever else is uncertain: the hard bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from npusim.bounds.arithmetic import arithmetic
from npusim.bounds.bandwidth import bandwidth
from npusim.bounds.ceiling import Ceiling, ceiling
from npusim.bounds.collective import collectives
from npusim.bounds.demand import demand_of
from npusim.bounds.finding import Finding
from npusim.bounds.load import BoundedLoad, Terms
from npusim.bounds.power_cap import CAP, power_cap
from npusim.bounds.reading import Reading
from npusim.bounds.timed import least_times, step_rows
from npusim.mapping.deployment import Deployment
from npusim.metric_names import metric
from npusim.serving.load import Load
from npusim.units import US_PER_S
from npusim.workload.arrivals import users_of
from npusim.workload.step import Step

TIME, WATTS = "time_us", "power_w"
"""Figures of a pass."""
_ANY = Reading.exact(1.0)
"""Stands for the figure where only what it cannot pass is asked for."""


@dataclass(frozen=True)
class HardLimits:
    """least, most: by the names of figures, in their units."""

    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)

    def clip(self, name: str, values: np.ndarray) -> np.ndarray:
        """The values, none beyond what the figure can be."""
        return np.clip(values, self.least.get(name, -np.inf), self.most.get(name, np.inf))


def run_limits(deployment: Deployment, load: Load, names: Iterable[str], servers: int = 1) -> HardLimits:
    """What figures of `load` cannot pass, of those called `names` that a bound knows.

    servers: like this one that share it, which are bounded as one server of all their chips.
    """
    generous = ceiling(deployment.system, True)
    bounded = _bounded(deployment, load, generous, servers)
    figures = dict.fromkeys(names, _ANY)
    watts = power_cap((generous, generous), bounded.chips, _ANY, 0.0)
    model = deployment.model
    return _of(
        [*bandwidth(bounded, figures), *arithmetic(bounded, figures), *collectives(bounded, model, figures), *watts]
    )


def step_limits(deployment: Deployment, step: Step) -> HardLimits:
    """What time_us and power_w of a pass of one replica cannot pass."""
    generous, chips = ceiling(deployment.system, True), deployment.plan.chips
    rows = step_rows(deployment.model, deployment.precision, step)
    times = least_times(rows, (generous, generous), chips, _ANY)
    watts = power_cap((generous, generous), chips, _ANY, 0.0)
    return _of(
        [
            *(replace(each, metric=TIME, limit=(each.limit or 0.0) * US_PER_S) for each in times),
            *(replace(each, metric=WATTS) for each in watts),
        ]
    )


def _bounded(deployment: Deployment, load: Load, generous: Ceiling, servers: int) -> BoundedLoad:
    """The load on generous terms alone; requests of different lengths count as long as the shortest."""
    isl, osl = load.tokens.min(axis=0).tolist()
    terms = Terms(demand_of(deployment.model, deployment.precision, isl, osl, True), generous)
    return BoundedLoad(
        terms,
        terms,
        deployment.plan.chips * servers,
        isl,
        osl,
        users=users_of(load.arrival),
        prompts_differ=not load.warm and len({prompt[0] for prompt in load.prompts}) == len(load.prompts),
        tokens_per_step=1.0 + deployment.drafted,
        tensor_parallel=deployment.plan.tensor_parallel,
    )


def _of(findings: Iterable[Finding]) -> HardLimits:
    """The strictest of the limits: the least of times, the most of rates; watts lie between idle chips and the cap."""
    least: dict[str, float] = {}
    most: dict[str, float] = {}
    for each in findings:
        row = metric(each.metric)
        assert each.limit is not None and row is not None, each
        if each.bound == CAP or row.better == "more":
            most[each.metric] = min(each.limit, most.get(each.metric, np.inf))
        else:
            least[each.metric] = max(each.limit, least.get(each.metric, -np.inf))
    return HardLimits(least, most)
