"""Figures of designs from the cost of two steps: one prompt alone, and a decode step at half the answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from npusim import dtypes
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import HOST, DesignCosts, cost_designs
from npusim.engine.elasticity import LARGE, Resources
from npusim.engine.event.engine import EventEngine
from npusim.engine.stepcost import RESOURCES
from npusim.explore.sweep.machines import Records
from npusim.explore.sweep.spec import ESTIMATED
from npusim.hardware.power import headroom_w, waiting_w
from npusim.hardware.system import System
from npusim.hardware.technology.energy import GROUPS, bottom_up, breakdown
from npusim.hardware.technology.silicon import Silicon
from npusim.kernels.power import ENERGY_PARTS
from npusim.mapping.deployment import Deployment
from npusim.mapping.footprint import footprint, usable_bytes
from npusim.mapping.memory_layout import is_open, laid_out, layouts
from npusim.mapping.optable import ATTENTION, LINEAR
from npusim.metrics import RANGED
from npusim.units import MS_PER_S
from npusim.workload.step import Step, decode, prefill

PARTS = (*RESOURCES, HOST)
SHARE_COLUMNS = tuple(f"{name}_share" for name in PARTS)
"""Parts of the time of prompts and decode steps by resource and host; they sum to 1."""
BOUND_COLUMNS = ("bound", "bound_gain")
"""What shortens prompts and decode steps together most, and the part that 10 % more of it saves."""
_FLOPS_PER_MAC = 2.0
_MJ_PER_J = 1e3
_RATE = "output_tokens_per_s"


@dataclass(frozen=True)
class _Costs:
    """One step of each design, float64 (designs,), NaN without room. time_s, energy_j: host time included; device_s:
    without; device_j: joules of that time; shares_s: by PARTS; bytes_s: seconds that its bytes take at the peak rate;
    macs_s: that its arithmetic takes at the peak rate; parts_j: the energy by ENERGY_PARTS, (designs, parts)."""

    time_s: np.ndarray
    energy_j: np.ndarray
    device_s: np.ndarray
    device_j: np.ndarray
    bytes_s: np.ndarray
    macs_s: np.ndarray
    shares_s: dict[str, np.ndarray]
    parts_j: np.ndarray


def _nothing(designs: int) -> _Costs:
    def empty() -> np.ndarray:
        return np.full(designs, np.nan)

    parts_j = np.full((designs, len(ENERGY_PARTS)), np.nan)
    return _Costs(empty(), empty(), empty(), empty(), empty(), empty(), {name: empty() for name in PARTS}, parts_j)


@dataclass(frozen=True)
class _TwoSteps:
    """One prompt and one decode step of each design, and what else figures need, arrays (designs,).

    resident: requests that a replica holds; served: that all replicas do, at most the users; osl: tokens of an answer;
    cap_w: power cap of all chips; system: of which the machines of `silicon` are variants.
    """

    prompt: _Costs
    decode: _Costs
    resident: np.ndarray
    served: np.ndarray
    osl: int
    cap_w: np.ndarray
    system: System
    silicon: Silicon

    def over_both(self, prompt: np.ndarray, decode: np.ndarray) -> np.ndarray:
        """What prompts and decode steps of a batch take together of what one of each takes."""
        return self.resident * prompt + (self.osl - 1) * decode

    @property
    def elapsed_s(self) -> np.ndarray:
        return self.over_both(self.prompt.time_s, self.decode.time_s)

    @property
    def energy_j(self) -> np.ndarray:
        return self.over_both(self.prompt.energy_j, self.decode.energy_j)

    @cached_property
    def groups_j(self) -> dict[str, np.ndarray]:
        """Joules of both by group of components."""
        spent = self.resident[:, None] * self.prompt.parts_j + (self.osl - 1) * self.decode.parts_j
        units = bottom_up(self.system, self.silicon.machines)
        found = breakdown(len(spent), units, dict(zip(ENERGY_PARTS, spent.T, strict=True)))
        return {name: np.sum([found[each] for each in members], axis=0) for name, members in GROUPS.items()}

    @property
    def tokens(self) -> np.ndarray:
        return self.served * self.osl


@dataclass(frozen=True)
class _Asked:
    """The designs and their two steps. simulated: by the event engine."""

    base: Deployment
    records: Records
    isl: int
    osl: int
    users: int
    resident: np.ndarray
    simulated: bool = False
    engine: AnalyticEngine = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", AnalyticEngine(self.base, max_sequences=self.users))

    def costs(self, records: Records) -> tuple[_Costs, _Costs]:
        """One prompt and one decode step on each of these records, which stand for the designs in their order."""
        prompt, token = _nothing(len(self.resident)), _nothing(len(self.resident))
        some = self.resident > 0
        if some.any():
            self._put(prompt, prefill(1, self.isl), records, some)
        for batch in np.unique(self.resident[some]):
            step = decode([self.isl + (self.osl + 1) // 2] * int(batch))
            self._put(token, step, records, self.resident == batch)
        return prompt, token

    def _put(self, costs: _Costs, step: Step, records: Records, which: np.ndarray) -> None:
        machines, runtimes = records.machines[which], records.runtimes[which]
        cost = (_simulated if self.simulated else cost_designs)(self.engine, step, machines, runtimes)
        static_w = machines["power_idle"] + waiting_w(machines)
        costs.time_s[which], costs.energy_j[which], costs.device_s[which] = cost.time_s, cost.energy_j, cost.device_s
        costs.device_j[which] = cost.energy_j - cost.shares_s[HOST] * static_w * self.base.plan.chips
        rate = machines["memory_stacks"] * machines["memory_channels_per_stack"] * machines["memory_channel_bandwidth"]
        costs.bytes_s[which] = cost.memory_bytes / rate
        costs.macs_s[which] = _arithmetic_s(self.engine, step, machines)
        costs.parts_j[which] = cost.parts_j
        for name in PARTS:
            costs.shares_s[name][which] = cost.shares_s[name]


Figures = dict[str, np.ndarray]
"""By name, an array (designs,) each."""


def estimate_designs(
    base: Deployment,
    records: Records,
    isl: int,
    osl: int,
    users: int,
    *,
    bounds: bool = False,
    simulated: bool = False,
) -> pd.DataFrame:
    """One row a design: the metrics `spec.ESTIMATED`, NaN where not even one request has room; SHARE_COLUMNS; with
    `bounds` BOUND_COLUMNS, by the engine that is asked (`simulated`: the event engine).

    users_resident: requests that the KV caches of all replicas hold at once, at most `users`. Throughput is that of a
    batch of them whose prompts are computed one by one, then decoded together, on each replica; power, energy and area
    are those of all chips. A memory with PIM units whose layout is open has, for each design, the fastest one.
    """

    def columns(asked: _Asked, two: _TwoSteps) -> Figures:
        found = _figures(two, ESTIMATED) | _shares(two)
        return found | _bounds(asked, two) if bounds else found

    return pd.DataFrame(_fastest(base, records, (isl, osl, users), simulated, columns))


def estimate_figures(
    base: Deployment, records: Records, isl: int, osl: int, users: int, figures: Collection[str] = ESTIMATED
) -> Figures:
    """Those of the estimates of `estimate_designs` that are called `figures`, for a few designs at little cost."""
    wanted = {*figures, _RATE}
    return _fastest(base, records, (isl, osl, users), False, lambda _, two: _figures(two, wanted))


def _fastest(
    base: Deployment,
    records: Records,
    load: tuple[int, int, int],
    simulated: bool,
    columns: Callable[[_Asked, _TwoSteps], Figures],
) -> Figures:
    """The columns of each design in its fastest layout, or in the one that its records fix."""
    if not is_open(base.runtime_record):
        return columns(*_two_steps(base, records, load, simulated))
    open_to = layouts(base.runtime_record)
    laid = ((laid_out(base, each), replace(records, runtimes=each.put(records.runtimes))) for each in open_to)
    found = [columns(*_two_steps(where, own, load, simulated)) for where, own in laid]
    best = np.nan_to_num(np.stack([each[_RATE] for each in found]), nan=-1.0).argmax(axis=0)
    return {name: np.choose(best, [each[name] for each in found]) for name in found[0]}


def _two_steps(
    base: Deployment, records: Records, load: tuple[int, int, int], simulated: bool
) -> tuple[_Asked, _TwoSteps]:
    """The designs and their two steps, in the layout that the records fix."""
    isl, osl, users = load
    replicas = base.plan.data_parallel
    resident = _resident(base, records, isl, osl, -(-users // replicas))
    asked = _Asked(base, records, isl, osl, users, resident, simulated)
    chips = base.plan.chips
    return asked, _TwoSteps(
        *asked.costs(records),
        resident,
        np.minimum(users, replicas * resident),
        osl,
        records.machines["power_cap"] * chips,
        base.system,
        Silicon(base.system, records.machines, chips),
    )


def _figures(two: _TwoSteps, names: Collection[str]) -> Figures:
    return {name: _FUNCTIONS[name](two) for name in ESTIMATED if name in names}


def _shares(two: _TwoSteps) -> Figures:
    spent = zip(SHARE_COLUMNS, PARTS, strict=True)
    return {
        column: two.over_both(two.prompt.shares_s[name], two.decode.shares_s[name]) / two.elapsed_s
        for column, name in spent
    }


def _bounds(asked: _Asked, two: _TwoSteps) -> Figures:
    """The resource of which 10 % more shortens both steps most, "" where nothing has room, and what it saves."""
    resources, machines = Resources(asked.base), asked.records.machines
    saved = []
    for name in resources.names:
        better = Records(*resources.better(name, LARGE, machines, asked.records.runtimes))
        saved.append(1.0 - two.over_both(*(each.time_s for each in asked.costs(better))) / two.elapsed_s)
    gains = np.array(saved)
    known = np.isfinite(gains).all(axis=0)
    most = np.where(known[None, :], gains, 0.0).argmax(axis=0)
    names = np.array([resources.names[index] for index in most.tolist()], dtype=object)
    names[~known] = ""
    return dict(zip(BOUND_COLUMNS, (names, gains[most, np.arange(len(most))]), strict=True))


def _simulated(engine: AnalyticEngine, step: Step, machines: np.ndarray, runtimes: np.ndarray) -> DesignCosts:
    """As `cost_designs`, each design by the event engine."""
    deployment, rows, spent = engine.deployment, [], []
    for index in range(len(machines)):
        own = deployment.with_records(machines[index : index + 1], runtimes[index : index + 1])
        analytic = AnalyticEngine(own, max_sequences=len(step.query))
        cost = EventEngine(analytic, own.system.name).cost(step)
        whole = analytic.with_host(cost, len(step.query))
        shares = cost.shares_s | {HOST: whole.time_s - cost.time_s}
        spent.append([whole.parts_j[name] for name in ENERGY_PARTS])
        rows.append((whole.time_s, whole.energy_j, *(shares[name] for name in PARTS), cost.memory_bytes, cost.clock))
    times, energies, *parts, moved, clock = np.array(rows, np.float64).T
    return DesignCosts(times, energies, dict(zip(PARTS, parts, strict=True)), moved, clock, np.array(spent))


def _arithmetic_s(engine: AnalyticEngine, step: Step, machines: np.ndarray) -> np.ndarray:
    """Seconds that the products of a step take at the peak rates of each machine, those of PIM units left out."""
    if engine.runtime["offload_linear"] or engine.runtime["offload_attention"]:
        return np.zeros(len(machines))
    unit = engine.deployment.system.chip.unit
    elements = np.prod([machines[f"{unit.TRAITS.prefix}_{name}"] for name in unit.TRAITS.elements], axis=0)
    rates = {}
    for code in range(dtypes.COUNT):
        field_name = f"{unit.TRAITS.prefix}_{unit.TRAITS.macs}_{dtypes.name(code)}"
        if field_name in (machines.dtype.names or ()):
            rates[code] = np.nan_to_num(machines[field_name]) * elements * machines[f"{unit.TRAITS.prefix}_clock"]
    fastest = np.max(list(rates.values()), axis=0)
    seconds = np.zeros(len(machines))
    for piece in engine.pieces(step):
        rows = engine.operators(piece)[0].rows
        for row in rows[np.isin(rows["kind"], (LINEAR, ATTENTION))]:
            rate = rates[int(row["activation_dtype"])] if row["kind"] == LINEAR else fastest
            seconds += float(row["flops"]) * float(row["repeat"]) / _FLOPS_PER_MAC / rate
    return seconds


_FUNCTIONS: dict[str, Callable[[_TwoSteps], np.ndarray]] = {}


def _estimate(function: Callable[[_TwoSteps], np.ndarray]) -> Callable[[_TwoSteps], np.ndarray]:
    """Registers a function as the estimate of its name."""
    _FUNCTIONS[function.__name__] = function
    return function


@_estimate
def prefill_ms(two: _TwoSteps) -> np.ndarray:
    return two.prompt.time_s * MS_PER_S


@_estimate
def decode_ms(two: _TwoSteps) -> np.ndarray:
    return two.decode.time_s * MS_PER_S


@_estimate
def output_tokens_per_s(two: _TwoSteps) -> np.ndarray:
    return two.tokens / two.elapsed_s


@_estimate
def power_w(two: _TwoSteps) -> np.ndarray:
    return two.energy_j / two.elapsed_s


@_estimate
def tokens_per_joule(two: _TwoSteps) -> np.ndarray:
    return two.tokens / two.energy_j


@_estimate
def users_resident(two: _TwoSteps) -> np.ndarray:
    return two.served


@_estimate
def area_proxy_mm2(two: _TwoSteps) -> np.ndarray:
    return two.silicon.area_proxy_mm2


@_estimate
def peak_fraction(two: _TwoSteps) -> np.ndarray:
    return _largest([each.macs_s / each.device_s for each in (two.prompt, two.decode)])


@_estimate
def bandwidth_fraction(two: _TwoSteps) -> np.ndarray:
    return _largest([each.bytes_s / each.device_s for each in (two.prompt, two.decode)])


@_estimate
def cap_fraction(two: _TwoSteps) -> np.ndarray:
    return _largest([each.device_j / each.device_s / two.cap_w for each in (two.prompt, two.decode)])


def _spent_on(group: str) -> Callable[[_TwoSteps], np.ndarray]:
    return lambda two: two.groups_j[group] / two.tokens * _MJ_PER_J


def _side(figure: str, side: str) -> Callable[[_TwoSteps], np.ndarray]:
    return lambda two: np.asarray(getattr(getattr(two.silicon, figure), side))


_FUNCTIONS |= {f"{group}_mj_per_token": _spent_on(group) for group in GROUPS}
for _name in RANGED:
    _FUNCTIONS |= {_name: _side(_name, "value"), **{f"{_name}_{end}": _side(_name, end) for end in ("low", "high")}}


def _largest(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.maximum(*parts))


def _resident(base: Deployment, records: Records, isl: int, osl: int, users: int) -> np.ndarray:
    """Requests of isl + osl tokens that a replica of each design holds, int64 (designs,), at most `users` and the
    runtime's own; none where the power cap leaves nothing to work."""
    machine, runtime = base.machine[0], base.runtime_record[0]
    room = footprint(machine, runtime, base.model, base.precision, base.plan)
    usable = usable_bytes(records.machines, records.runtimes) - float(usable_bytes(machine, runtime))
    requests = np.floor((room.available_bytes + usable) / room.kv_bytes(isl + osl))
    requests[headroom_w(records.machines) <= 0.0] = 0.0
    most = np.minimum(users, records.runtimes["limits_max_sequences"])
    return np.clip(requests, 0, most).astype(np.int64)
