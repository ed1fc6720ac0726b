"""How a step reads its KV cache: the layout, the run that one access finds, and what other layouts would give."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.hardware.kv_layouts import BEST_RUNS, LAYOUTS
from npusim.kernels.memory import access_efficiency, kv_run_bytes
from npusim.mapping.deployment import Deployment


def kv_access(deployment: Deployment, rows: np.ndarray) -> dict[str, Any]:
    """kv_access: layout, run_bytes, efficiency (fraction of the fetched bytes that are wanted), and its low and high
    over all layouts, at the first operator that reads the cache; empty where none of `rows` (OP_DTYPE) does.
    """
    reading = np.flatnonzero(rows["kv_read_bytes"] > 0.0)
    if not len(reading):
        return {}
    row, machine, runtime = rows[reading[0]], deployment.machine[0], deployment.runtime_record[0]
    runs = [float(kv_run_bytes(row, layout, machine, runtime)) for layout in range(len(LAYOUTS))]
    found = [float(access_efficiency(run, machine)) for run in runs]
    chosen = int(runtime["kv_layout"])
    layout = found.index(max(found[:BEST_RUNS])) if chosen == BEST_RUNS else chosen
    return {
        "kv_access": {
            "layout": list(LAYOUTS)[layout],
            "told": chosen != BEST_RUNS,
            "run_bytes": runs[chosen],
            "efficiency": found[chosen],
            "low": min(found),
            "high": max(found),
        }
    }
