"""The layout of a memory with PIM units that serves a load the fastest, where the runtime leaves it open.

A layout holds for a whole run: prompts read the weights that decoding has on the units, and copies take the room of
KV cache. So it is chosen by prompts and decode steps together, not step by step.
"""

from __future__ import annotations

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment
from npusim.mapping.memory_layout import is_open, laid_out, layouts
from npusim.workload.step import decode, prefill


def for_load(deployment: Deployment, isl: int, osl: int, users: int) -> Deployment:
    """`deployment` under the layout of the highest estimated output rate, that for the chip alone among equals.

    users: of one replica. A deployment whose layout is fixed stays as it is.
    """
    if not is_open(deployment.runtime_record):
        return deployment
    placed = [laid_out(deployment, layout) for layout in layouts(deployment.runtime_record)]
    rates = [_rate(where, isl, osl, users) for where in placed]
    return placed[int(np.argmax(rates))]


def _rate(where: Deployment, isl: int, osl: int, users: int) -> float:
    """Output tokens/s of as many requests as memory and runtime hold: their prompts one by one, then decode steps."""
    record = where.runtime_record[0]
    room = where.fitting.footprint(where.plan)
    held = room.available_bytes * float(record["kv_admission_watermark"]) // room.kv_bytes(isl + osl)
    batch = int(min(users, held, float(record["limits_max_sequences"])))
    if batch < 1:
        return 0.0
    engine = AnalyticEngine(where, max_sequences=batch)
    token = engine.with_host(engine.cost(decode([isl + (osl + 1) // 2] * batch)), batch)
    prompt = engine.with_host(engine.cost(prefill(1, isl)), 1)
    return batch * osl / (osl * token.time_s + batch * prompt.time_s)
