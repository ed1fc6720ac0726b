"""Figures of designs from the cost of two steps: one prompt alone, and a decode step at half the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import DesignCosts, cost_designs
from npusim.explore.sweep.machines import Records
from npusim.hardware import area
from npusim.hardware.power import headroom_w
from npusim.mapping.deployment import Deployment
from npusim.mapping.footprint import footprint
from npusim.mapping.memory_layout import is_open, laid_out, layouts
from npusim.metrics import ESTIMATES
from npusim.units import MS_PER_S
from npusim.workload.step import Step, decode, prefill


@dataclass(frozen=True)
class _TwoSteps:
    """One prompt and one decode step of each design: seconds and joules, float64 (designs,); NaN without room.

    resident: requests that a replica holds; served: that all replicas do, at most the users; osl: tokens of an answer.
    """

    prompt_s: np.ndarray
    prompt_j: np.ndarray
    decode_s: np.ndarray
    decode_j: np.ndarray
    resident: np.ndarray
    served: np.ndarray
    osl: int
    area_mm2: np.ndarray

    @property
    def elapsed_s(self) -> np.ndarray:
        return self.resident * self.prompt_s + (self.osl - 1) * self.decode_s

    @property
    def energy_j(self) -> np.ndarray:
        return self.resident * self.prompt_j + (self.osl - 1) * self.decode_j

    @property
    def tokens(self) -> np.ndarray:
        return self.served * self.osl


_FUNCTIONS: dict[str, Callable[[_TwoSteps], np.ndarray]] = {}


def estimate_designs(base: Deployment, records: Records, isl: int, osl: int, users: int) -> pd.DataFrame:
    """One row a design: the metrics `spec.ESTIMATED`, NaN where not even one request has room.

    users_resident: requests that the KV caches of all replicas hold at once, at most `users`. Throughput is that of a
    batch of them whose prompts are computed one by one, then decoded together, on each replica; power, energy and area
    are those of all chips. A memory with PIM units whose layout is open has, for each design, the fastest one.
    """
    if not is_open(base.runtime_record):
        return _estimated(base, records, isl, osl, users)
    found = [
        _estimated(laid_out(base, layout), replace(records, runtimes=layout.put(records.runtimes)), isl, osl, users)
        for layout in layouts(base.runtime_record)
    ]
    rates = np.nan_to_num(np.stack([each["output_tokens_per_s"] for each in found]), nan=-1.0)
    best = rates.argmax(axis=0)
    return pd.DataFrame({name: np.choose(best, [each[name].to_numpy() for each in found]) for name in found[0]})


def _estimated(base: Deployment, records: Records, isl: int, osl: int, users: int) -> pd.DataFrame:
    """As `estimate_designs`, in the layout that the records fix."""
    two = _two_steps(base, records, isl, osl, users)
    return pd.DataFrame({row.name: _FUNCTIONS[row.name](two) for row in ESTIMATES})


def _two_steps(base: Deployment, records: Records, isl: int, osl: int, users: int) -> _TwoSteps:
    replicas = base.plan.data_parallel
    resident = _resident(base, records, isl, osl, -(-users // replicas))
    prompt_s, prompt_j, decode_s, decode_j = (np.full(len(resident), np.nan) for _ in range(4))
    if (resident > 0).any():
        engine = AnalyticEngine(base, max_sequences=users)
        some = resident > 0
        prompt = _cost(engine, records, some, prefill(1, isl))
        prompt_s[some], prompt_j[some] = prompt.time_s, prompt.energy_j
        for batch in np.unique(resident[some]):
            which = resident == batch
            step = _cost(engine, records, which, decode([isl + (osl + 1) // 2] * int(batch)))
            decode_s[which], decode_j[which] = step.time_s, step.energy_j
    served = np.minimum(users, replicas * resident)
    area_mm2 = area.area_proxy_mm2(base.system, records.machines) * base.plan.chips
    return _TwoSteps(prompt_s, prompt_j, decode_s, decode_j, resident, served, osl, area_mm2)


def _estimate(function: Callable[[_TwoSteps], np.ndarray]) -> Callable[[_TwoSteps], np.ndarray]:
    """Registers a function as the estimate of its name."""
    _FUNCTIONS[function.__name__] = function
    return function


@_estimate
def prefill_ms(two: _TwoSteps) -> np.ndarray:
    return two.prompt_s * MS_PER_S


@_estimate
def decode_ms(two: _TwoSteps) -> np.ndarray:
    return two.decode_s * MS_PER_S


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
    return two.area_mm2


def _cost(engine: AnalyticEngine, records: Records, which: np.ndarray, step: Step) -> DesignCosts:
    return cost_designs(engine, step, records.machines[which], records.runtimes[which])


def _resident(base: Deployment, records: Records, isl: int, osl: int, users: int) -> np.ndarray:
    """Requests of isl + osl tokens that a replica of each design holds, int64 (designs,), at most `users` and the
    runtime's own; none where the power cap leaves nothing to work."""
    machine, runtime = base.machine[0], base.runtime_record[0]
    room = footprint(machine, runtime, base.model, base.precision, base.plan)
    usable = _usable_bytes(records.machines, records.runtimes) - float(_usable_bytes(machine, runtime))
    requests = np.floor((room.available_bytes + usable) / room.kv_bytes(isl + osl))
    requests[headroom_w(records.machines) <= 0.0] = 0.0
    most = np.minimum(users, records.runtimes["limits_max_sequences"])
    return np.clip(requests, 0, most).astype(np.int64)


def _usable_bytes(machines: np.ndarray, runtimes: np.ndarray) -> np.ndarray:
    held_back = runtimes["kv_reserved"] + runtimes["activation_workspace"]
    return machines["memory_usable_capacity"] * runtimes["kv_memory_fraction"] - held_back
