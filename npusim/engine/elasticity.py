"""What moves a step: how much shorter it gets when one resource alone gets better.

The largest share of a step's time need not be what moves it: behind a host that needs longer than the chip, more memory
bandwidth changes nothing. So each resource is made better by itself, the others as they are, and the step costed anew;
all of them are one array of records. Better means more of a rate or of a capacity and less of a time, as the unit of
each number says; a number belongs to the first resource whose pattern its path matches.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import HOST, cost_designs
from npusim.engine.host import host_time_of
from npusim.engine.speculation import analytic_engine
from npusim.hardware.drafting import Drafting
from npusim.hardware.draws import RangedNumber, all_numbers
from npusim.inputs import remembered_last
from npusim.mapping.deployment import Deployment
from npusim.workload.step import Step

SMALL, LARGE = 0.01, 0.10
"""Parts by which a resource is made better: for its elasticity, and to find the one that moves the step most."""
LINK, POWER = "link", "power"
_ROUNDING = 1e-9
"""Part of a time below which a difference is rounding: host time is a difference that is added again."""
_KEPT = 16
"""Deployments whose records under better resources are kept, those asked for last."""
_TIMES = ("s", "cycle")
_DRAFTS = {HOST: ("turn_time", "token_time", "pass_time")}
"""Times of drafting that get better with a resource."""
_RUNTIME = "runtime."


class _Resource(NamedTuple):
    """meaning: as in "bound by ..."; pattern: of the paths of its numbers ({macs} is the unit's own key for rates)."""

    meaning: str
    pattern: str


RESOURCE_TABLE = {
    "contraction": _Resource(
        "the contraction engines", r"chip\.unit\.({macs}\..*|operand_stream\w*|reducer_drain|pipeline)"
    ),
    "vector": _Resource("the vector lanes", r"chip\.unit\.(vector_lanes\w*|vector\..*\.(row_step\..*|pass_time))"),
    "sram": _Resource("the rate of SRAM or cache", r"chip\.unit\.(sram|l2)_bandwidth\w*"),
    "sram_capacity": _Resource("the size of SRAM or cache", r"chip\.unit\.(sram|sram_per_\w+|l2_capacity)"),
    "dma": _Resource("the engines that fetch from memory", r"chip\.unit\.(dma_bandwidth\w*|.*\.stream_per_sm)"),
    "memory": _Resource("memory bandwidth", r"chip\.memory\.channel_bandwidth"),
    "pim": _Resource("the PIM units", r"chip\.pim\.(memory\.data_rate|unit\.fence\.time)"),
    LINK: _Resource("the links between chips", r"server\.fabric\..*"),
    "reduction": _Resource("the sums over the PEs", r"chip\.reduction\..*"),
    "launch": _Resource("the fixed times of operators and of the step", r"(chip\.unit|runtime\.paths)\..*"),
    HOST: _Resource(
        "the host", r"runtime\.host\.(step_time|sampling_time|token_time)|card\.host_link\.(bandwidth|latency)"
    ),
    POWER: _Resource("the power cap", r"chip\.power\.cap"),
}
"""What a step can be bound by, in the order in which a number looks for its resource."""

_RATES = ("B/s", "B/cycle")
_ANY_UNIT = ("contraction", "vector", "sram_capacity", POWER)
"""Resources whose patterns name their numbers one by one; the numbers of others are times and rates."""


class _Move(NamedTuple):
    """One number of a resource: whether it is in the runtime's record, and whether less of it is better."""

    number: RangedNumber
    of_runtime: bool
    is_time: bool


@dataclass(frozen=True)
class Elasticities:
    """A step, host time that it does not hide included, under better resources.

    time_s: as it is; small, large: seconds with each resource better by SMALL and by LARGE; floor_s: host time of the
    step if the chip took none; device_s: the chip's own.
    """

    time_s: float
    small: dict[str, float]
    large: dict[str, float]
    floor_s: float
    device_s: float

    @cached_property
    def values(self) -> dict[str, float]:
        """By resource d ln time / d ln resource, where it gets better: -0.3 means that 1 % more takes 0.3 % off.

        A time (launches, host) counts as its speed: 1 % more speed is 1 % less time.
        """
        better = math.log(1.0 + SMALL)
        return {name: math.log(self._ratio(time_s)) / better for name, time_s in self.small.items()}

    @cached_property
    def gains(self) -> dict[str, float]:
        """By resource the part of the time that LARGE more of it saves."""
        return {name: 1.0 - self._ratio(time_s) for name, time_s in self.large.items()}

    def _ratio(self, time_s: float) -> float:
        """`time_s` over the step's, 1 where only rounding parts them."""
        return 1.0 if math.isclose(time_s, self.time_s, rel_tol=_ROUNDING) else time_s / self.time_s

    @property
    def bound(self) -> str:
        """The resource of which LARGE more saves most."""
        return max(self.gains, key=lambda name: self.gains[name])

    @property
    def hidden_s(self) -> float:
        """Seconds in which the host and the chip work side by side."""
        both = self.floor_s + self.device_s
        return both - self.time_s if both - self.time_s > _ROUNDING * both else 0.0


def elasticities(deployment: Deployment, engine: AnalyticEngine, step: Step) -> Elasticities:
    """What moves `step` of a deployment (of one replica, in the sequences that it holds), by closed forms."""
    if deployment.drafting is not None:
        return _of_drafts(deployment, deployment.drafting, engine, step)
    names, machines, runtimes = _joined_records(deployment)
    times = cost_designs(engine, step, machines, runtimes).time_s.tolist()
    return _found(names, times, engine, step, engine.cost(step).time_s)


def _of_drafts(deployment: Deployment, drafting: Drafting, engine: AnalyticEngine, step: Step) -> Elasticities:
    """As `elasticities`, of a step that verifies drafts: its software gets better with the host and with launches."""
    names, records = _records(deployment)
    software = [drafting, *(quicker(drafting, name, by) for by in (SMALL, LARGE) for name in names)]
    times = []
    for (machine, runtime), drafts in zip(records, software, strict=True):
        where = replace(deployment.with_records(machine, runtime), drafting=drafts)
        own, sequences = analytic_engine(where, len(step.query)), len(step.query)
        times.append(own.with_host(own.cost(step), sequences).time_s)
    return _found(names, times, engine, step, engine.cost(step).time_s)


def quicker(drafting: Drafting, resource: str, by: float) -> Drafting:
    """How tokens are drafted where the host, or what is launched, takes 1 / (1 + by) of its time."""
    told = {each: getattr(drafting, each) for each in _DRAFTS.get(resource, ())}
    faster = {each: number.model_copy(update={"value": number.value / (1.0 + by)}) for each, number in told.items()}
    return drafting.model_copy(update=faster)


def elasticities_by(
    deployment: Deployment, engine: AnalyticEngine, step: Step, chip_time: Callable[[Deployment], float]
) -> Elasticities:
    """As `elasticities`, the chip's seconds on `step` under other records by another engine: a call for each."""
    names, records = _records(deployment)
    times, chip_s = [], 0.0
    for machine, runtime in reversed(records):
        chip_s = chip_time(deployment.with_records(machine, runtime))
        times.append(chip_s + host_time_of(chip_s, len(step.query), engine.logit_bytes, machine, runtime))
    return _found(names, times[::-1], engine, step, chip_s)


@remembered_last(_KEPT)
def _joined_records(deployment: Deployment) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The resources, and `_records` as two arrays, for reading."""
    names, records = _records(deployment)
    machines, runtimes = (_joined(parts) for parts in zip(*records, strict=True))
    return names, machines, runtimes


def _joined(records: Sequence[np.ndarray]) -> np.ndarray:
    """Records of one type, (1,) each, as one array: `np.concatenate` compares the types field by field."""
    whole = np.empty(len(records), records[0].dtype)
    for place, record in enumerate(records):
        whole[place] = record[0]
    return whole


def _records(deployment: Deployment) -> tuple[list[str], list[tuple[np.ndarray, np.ndarray]]]:
    """The resources, and records: as they are, then with each better by SMALL, then by LARGE."""
    machine, runtime = deployment.machine, deployment.runtime_record
    resources = Resources(deployment)
    better = [resources.better(name, by, machine, runtime) for by in (SMALL, LARGE) for name in resources.names]
    return resources.names, [(machine, runtime), *better]


def _found(names: list[str], times: list[float], engine: AnalyticEngine, step: Step, chip_s: float) -> Elasticities:
    small, large = times[1 : len(names) + 1], times[len(names) + 1 :]
    floor_s = engine.host_s(0.0, len(step.query))
    return Elasticities(
        times[0], dict(zip(names, small, strict=True)), dict(zip(names, large, strict=True)), floor_s, chip_s
    )


class Resources:
    """The resources of a deployment: those of which it has numbers, links only with several chips."""

    def __init__(self, deployment: Deployment) -> None:
        self._moves: dict[str, list[_Move]] = {}
        for move, name in _moves(deployment):
            self._moves.setdefault(name, []).append(move)
        if deployment.plan.chips == 1:
            self._moves.pop(LINK, None)
        if not deployment.machine[0]["power_cap_enforced"]:
            self._moves.pop(POWER, None)

    @property
    def names(self) -> list[str]:
        """In the order of RESOURCE_TABLE."""
        return [name for name in RESOURCE_TABLE if name in self._moves]

    def better(self, name: str, by: float, machines: np.ndarray, runtimes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Copies of records in which a resource is better by the part `by`: 0.1 is 1.1 times the rate, 1/1.1 of the
        time."""
        machines, runtimes = machines.copy(), runtimes.copy()
        for number, of_runtime, is_time in self._moves[name]:
            records = runtimes if of_runtime else machines
            field = records[number.name] if number.position is None else records[number.name][:, number.position]
            number.put(records, field / (1.0 + by) if is_time else field * (1.0 + by))
        return machines, runtimes


def _moves(deployment: Deployment) -> Iterator[tuple[_Move, str]]:
    macs = deployment.system.chip.unit.TRAITS.macs
    patterns = {name: re.compile(each.pattern.replace("{macs}", macs)) for name, each in RESOURCE_TABLE.items()}
    seen = set()
    for number in all_numbers(deployment.system, deployment.runtime):
        of_runtime = number.owner == deployment.runtime.name
        place = of_runtime, number.name, number.position
        name = _resource_of(f"{_RUNTIME if of_runtime else ''}{number.label}", number.quantity.unit, patterns)
        if name is not None and place not in seen:
            seen.add(place)
            yield _Move(number, of_runtime, number.quantity.unit in _TIMES), name


def _resource_of(path: str, unit: str, patterns: dict[str, re.Pattern[str]]) -> str | None:
    for name, pattern in patterns.items():
        if pattern.fullmatch(path) and (name in _ANY_UNIT or unit in (*_TIMES, *_RATES)):
            return name
    return None


def meaning(name: str) -> str:
    """What a resource is called in a sentence."""
    return RESOURCE_TABLE[name].meaning


def weighted_mean(parts: Iterable[tuple[float, Elasticities]]) -> Elasticities:
    """Steps one after the other, each as often as told."""
    told = list(parts)

    def total(pick: str) -> dict[str, float]:
        names = getattr(told[0][1], pick)
        return {name: sum(count * getattr(each, pick)[name] for count, each in told) for name in names}

    return Elasticities(
        sum(count * each.time_s for count, each in told),
        total("small"),
        total("large"),
        sum(count * each.floor_s for count, each in told),
        sum(count * each.device_s for count, each in told),
    )
