"""Engines for deployments."""

from __future__ import annotations

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment


def analytic_engine(
    deployment: Deployment, machine: np.ndarray | None = None, runtime: np.ndarray | None = None
) -> AnalyticEngine:
    """The analytic engine of a deployment; `machine` and `runtime` (arrays of one record) replace its own."""
    return AnalyticEngine(
        deployment.system,
        deployment.runtime,
        deployment.model,
        deployment.precision,
        deployment.plan,
        machine,
        runtime,
        max_sequences=int(deployment.runtime.limits.max_sequences.value) * 2,
    )
