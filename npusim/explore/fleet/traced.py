"""The requests of a trace, or of a described load, served by all instances of a fleet at once.

They come at their own times, each session whole to one cell of instances, chosen at random as the router before cells
does; how a cell shares its requests out is its own router's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from npusim.explore.fleet.cells import CellRun, rows_of, slo_kept
from npusim.explore.sweep.backend import Backend
from npusim.mapping.deployment import Deployment
from npusim.metrics import PER_REQUEST
from npusim.serving.instances.simulate import replicas_of, simulate_instances
from npusim.serving.load import Load
from npusim.serving.slo import Slo
from npusim.workload.arrivals import Timed, Turns

_STREAM = 7
"""Cells of sessions are drawn apart from all else that a seed draws."""
_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, eq=False)
class TracedLoad:
    """load: what is served; told: what it was, under the key `name` of the answer."""

    load: Load
    name: str
    told: Mapping[str, Any]


def served_trace(
    deployment: Deployment, traced: TracedLoad, cells: list[int], routing: str, slo: Slo, seed: int, where: Backend
) -> dict[str, Any]:
    """requests, refused; kept: whether they keep the objectives; latencies in ms by their names."""
    parts = shared_out(traced.load, cells, seed)
    calls = [
        (f"{place:04d}", (deployment, traced.load.only(part), count, routing, seed + place))
        for place, (part, count) in enumerate(zip(parts, cells, strict=True))
        if len(part)
    ]
    found = dict(where.run(_traced_cell, calls, at_once=True))
    rows = pd.concat([found[name].rows for name in sorted(found)], ignore_index=True)
    refused = sum(each.refused for each in found.values())
    told = {"requests": len(rows) + refused, "refused": refused, "kept": not refused and slo_kept(slo, rows)}
    return told | _latencies(rows) | {traced.name: dict(traced.told)}


def shared_out(load: Load, cells: list[int], seed: int) -> list[np.ndarray]:
    """Places of the requests of each cell, int64 (requests,), rising: each session's at random by the cells' sizes."""
    assert isinstance(load.arrival, Timed | Turns)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    sizes = np.array(cells)
    chosen = generator.choice(len(cells), len(load.prompts), p=sizes / sizes.sum())[load.arrival.first]
    return [np.flatnonzero(chosen == place) for place in range(len(cells))]


def _traced_cell(deployment: Deployment, load: Load, count: int, routing: str, seed: int) -> CellRun:
    run = simulate_instances(replicas_of(deployment, count), load, seed, routing)
    return CellRun(rows_of(run, load.warm_up), len(run.whole.record.refused))


def _latencies(rows: pd.DataFrame) -> dict[str, float]:
    """Mean and percentiles of each latency; of requests that have it."""
    told = {}
    for quantity in PER_REQUEST:
        values = rows[quantity].to_numpy(float)
        values = values[np.isfinite(values)]
        if len(values):
            told[f"{quantity}_mean"] = float(values.mean())
            told |= {f"{quantity}_p{part}": float(np.percentile(values, part)) for part in _PERCENTILES}
    return told
