"""What moves a step or a serving run: its elasticities, its bound, and the host time that hides behind the chip."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.answers.engines import working_pes
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import HOST
from npusim.engine.elasticity import Elasticities, elasticities, weighted_mean
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import OP_NAMES
from npusim.units import MS_PER_S
from npusim.workload.step import decode, prefill

_MOST = 3
_ARITHMETIC = ("contraction_s", "vector_s")
_FIXED = ("link_s", "overhead_s")


def moved_by(found: Elasticities) -> dict[str, Any]:
    """bound: the resource of which 10 % more saves most time; elasticities: d ln time / d ln resource where it gets
    better, a time counting as its speed; gains: part of the time that 10 % more of each saves.
    """
    return {"bound": found.bound, "elasticities": found.values, "gains": found.gains}


def hidden_floor(found: Elasticities, per_second: float, unit: str) -> dict[str, Any] | None:
    """What works side by side with the chip, below whose time no chip brings a step; None where nothing does.

    floor: host time of the step if the chip took none; chip: the chip's own; hidden: the part in which both work;
    binds: whether the host is the longer one, behind which the chip hides. Times in `unit`, `per_second` of a second.
    """
    if found.hidden_s <= 0.0:
        return None
    return {
        "resource": HOST,
        f"floor_{unit}": found.floor_s * per_second,
        f"chip_{unit}": found.device_s * per_second,
        f"hidden_{unit}": found.hidden_s * per_second,
        "binds": found.floor_s > found.device_s,
    }


def bottleneck(deployment: Deployment, users: int, isl: int, osl: int) -> dict[str, Any]:
    """A run of `users` sequences (of all replicas together): its prompts one by one, and its decode steps, of which
    that in the middle of the answers is taken apart.

    bound, elasticities, gains: as `moved_by`, of the whole; decode, prompt: the same of one step of each; step_ms,
    shares_ms: the decode step by resource and host, which sum to it; fixed_ms: what would remain if nothing were
    computed or read: links, launches and the host; pes: engines of a chip that work and that stay idle; hidden_floor:
    of the decode step; operators: the longest ones of one chip, all repeats together, with their fixed part.
    """
    sequences, context = max(1, -(-users // deployment.plan.data_parallel)), isl + osl // 2
    engine = AnalyticEngine(deployment, max_sequences=sequences)
    step = decode([context] * sequences)
    token, prompt = elasticities(deployment, engine, step), elasticities(deployment, engine, prefill(1, isl))
    cost = engine.cost(step)
    host_s = engine.with_host(cost, sequences).time_s - cost.time_s
    shares = {**cost.shares_s, HOST: host_s}
    return {
        **moved_by(weighted_mean([(sequences, prompt), (osl - 1, token)])),
        "decode": moved_by(token),
        "prompt": {"ms": prompt.time_s * MS_PER_S, **moved_by(prompt)},
        "hidden_floor": hidden_floor(token, MS_PER_S, "ms"),
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
