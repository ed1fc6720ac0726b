"""What a serving run waits for: the decode step in its middle, taken apart by resource and by operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.answers.engines import working_pes
from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import OP_NAMES
from npusim.units import MS_PER_S
from npusim.workload.step import decode

HOST = "host"
_MOST = 3
_ARITHMETIC = ("contraction_s", "vector_s")
_FIXED = ("link_s", "overhead_s")


def bottleneck(deployment: Deployment, users: int, context: int) -> dict[str, Any]:
    """A decode step of `users` sequences (of all replicas together) over `context` tokens each.

    bound: the resource, or the host, that takes most of it; step_ms; shares_ms by resource and host, which sum to it;
    fixed_ms: what would remain if nothing were computed or read: links, launches and the host; pes: engines of a chip
    that work and that stay idle; operators: the longest ones of one chip, all repeats together, with their fixed part.
    """
    sequences = max(1, -(-users // deployment.plan.data_parallel))
    engine = AnalyticEngine(deployment, max_sequences=sequences)
    step = decode([context] * sequences)
    cost = engine.cost(step)
    host_s = engine.with_host(cost, sequences).time_s - cost.time_s
    shares = {**cost.shares_s, HOST: host_s}
    return {
        "bound": max(shares, key=lambda name: shares[name]),
        "sequences": sequences,
        "context": context,
        "step_ms": (cost.time_s + host_s) * MS_PER_S,
        "shares_ms": {name: seconds * MS_PER_S for name, seconds in shares.items()},
        "fixed_ms": (shares["link"] + shares["overhead"] + host_s) * MS_PER_S,
        **working_pes(deployment, cost),
        "operators": _longest(engine, engine.pieces(step)[0]),
    }


def _longest(engine: AnalyticEngine, piece: Any) -> list[dict[str, Any]]:
    table, costs = engine.operators(piece)
    totals: dict[str, np.ndarray] = {}
    for row, spent in zip(table.rows, costs, strict=True):
        name, times = OP_NAMES[row["op"]], np.array(_times(spent)) * float(spent["repeat"])
        totals[name] = totals.get(name, np.zeros(2)) + times
    ordered = sorted(totals, key=lambda name: -totals[name].sum())[:_MOST]
    return [
        {"op": name, "time_ms": float(totals[name].sum()) * MS_PER_S, "fixed_ms": float(totals[name][1]) * MS_PER_S}
        for name in ordered
    ]


def _times(spent: np.void) -> tuple[float, float]:
    """Seconds of one operator that its size makes, and those that it takes whatever its size."""
    sized = max(sum(float(spent[name]) for name in _ARITHMETIC), float(spent["memory_s"])) + float(spent["pim_s"])
    return sized, sum(float(spent[name]) for name in _FIXED)
