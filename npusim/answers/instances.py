"""A serving run of several instances behind a router, as plain JSON-ready figures."""

from __future__ import annotations

from typing import Any

from npusim.answers.energy import energy_reconciliation
from npusim.answers.on_device import device_left_out
from npusim.answers.predict import run_figures, with_intervals
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.serving.instances.pool import Pool
from npusim.serving.instances.simulate import InstancesRun, simulate_instances
from npusim.serving.instances.uncertainty import instances_draws
from npusim.serving.load import Load
from npusim.serving.metrics import measure

_OF_EACH = ("requests", *(row.name for row in shown(Shown.FOLDED)))


def predict_instances(
    deployment: Deployment, load: Load, count: int, routing: str, seed: int, interval_wanted: bool = False
) -> dict[str, Any]:
    """The figures of a run over all instances, `count` of the deployment, and under `instances` what each of them did.

    Figures become {value, low, high} with `interval_wanted`; those of each stay those of the given numbers. Raises
    UserError.
    """
    pool = Pool(deployment, count)
    run = simulate_instances(pool.instances, load, seed, routing)
    metrics = measure(run.whole)
    figures = run_figures(metrics)
    if interval_wanted:
        figures = with_intervals(figures, instances_draws(pool, load, metrics, routing, seed))
    told = {"energy_reconciliation": energy_reconciliation(deployment)} | device_left_out(deployment, "instances")
    return figures | told | {"instances": {"routing": routing, **instances_figures(run)}}


def instances_figures(run: InstancesRun) -> dict[str, Any]:
    """count; utilisation: part of the time in which an instance had steps, mean over all; each: figures of each."""
    seconds = run.whole.duration_s
    parts = [busy_s / seconds if seconds else 0.0 for busy_s in run.busy_s]
    measured = [measure(each) for each in run.each]
    each = [
        {"utilisation": part, **{name: metrics[name] for name in _OF_EACH}}
        for part, metrics in zip(parts, measured, strict=True)
    ]
    return {"count": len(each), "utilisation": sum(parts) / len(parts), "each": each}
