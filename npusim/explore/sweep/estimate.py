"""Figures of designs from the cost of two steps: one prompt alone, and a decode step at half the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import DesignCosts, cost_designs
from npusim.explore.sweep.machines import Records
from npusim.hardware.area import area_proxy_mm2
from npusim.mapping.deployment import Deployment
from npusim.mapping.footprint import footprint
from npusim.workload.step import Step, decode, prefill

_MS = 1e3


def estimate_designs(base: Deployment, records: Records, isl: int, osl: int, users: int) -> pd.DataFrame:
    """One row a design: the metrics `spec.ESTIMATED`, NaN where not even one request has room.

    users_resident: requests that the KV caches of all replicas hold at once, at most `users`. Throughput is that of a
    batch of them whose prompts are computed one by one, then decoded together, on each replica; power, energy and area
    are those of all chips.
    """
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
    elapsed_s = resident * prompt_s + (osl - 1) * decode_s
    energy_j = resident * prompt_j + (osl - 1) * decode_j
    served = np.minimum(users, replicas * resident)
    tokens = served * osl
    return pd.DataFrame(
        {
            "prefill_ms": prompt_s * _MS,
            "decode_ms": decode_s * _MS,
            "output_tokens_per_s": tokens / elapsed_s,
            "power_w": energy_j / elapsed_s,
            "tokens_per_joule": tokens / energy_j,
            "users_resident": served,
            "area_proxy_mm2": area_proxy_mm2(base.system, records.machines) * base.plan.chips,
        }
    )


def _cost(engine: AnalyticEngine, records: Records, which: np.ndarray, step: Step) -> DesignCosts:
    return cost_designs(engine, step, records.machines[which], records.runtimes[which])


def _resident(base: Deployment, records: Records, isl: int, osl: int, users: int) -> np.ndarray:
    """Requests of isl + osl tokens that a replica of each design holds, int64 (designs,), at most `users` and the
    runtime's own."""
    machine, runtime = base.machine[0], base.runtime_record[0]
    room = footprint(machine, runtime, base.model, base.precision, base.plan)
    usable = _usable_bytes(records.machines, records.runtimes) - float(_usable_bytes(machine, runtime))
    requests = np.floor((room.available_bytes + usable) / room.kv_bytes(isl + osl))
    most = np.minimum(users, records.runtimes["limits_max_sequences"])
    return np.clip(requests, 0, most).astype(np.int64)


def _usable_bytes(machines: np.ndarray, runtimes: np.ndarray) -> np.ndarray:
    held_back = runtimes["kv_reserved"] + runtimes["activation_workspace"]
    return machines["memory_usable_capacity"] * runtimes["kv_memory_fraction"] - held_back
