"""The K-Perf grid on an architecture: every model, shape and number of users becomes a cell of the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.elasticity import elasticities
from npusim.errors import DoesNotFit
from npusim.hardware.calibration import calibration_text
from npusim.hardware.software import software_text
from npusim.hardware.technology.energy import GROUPS
from npusim.kperf.table import COLUMNS, INTERVAL_METRICS, PREDICTED, KPerfContext
from npusim.mapping.deployment import Deployment, deploy
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.serving.joint import run_draws
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.planning import Wish, best_for_run
from npusim.serving.simulate import Load, simulate
from npusim.serving.uncertainty import drawn_engines, drawn_metrics, interval_text
from npusim.workers import processors, spread
from npusim.workload.arrivals import parse_arrival
from npusim.workload.grid import Grid, load_grid
from npusim.workload.prompts import random_prompts
from npusim.workload.step import decode

KPERF_MODELS = ("llama-3.1-8b", "exaone-4.0-32b", "exaone-3.5-32b", "llama-3.3-70b", "llama-3.1-405b")
DEFAULT_GRID = "furiosa-perf-32k"
_MJ_PER_J = 1e3
_POWER_SCOPE = "cards (no server, no wall)"
_Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class GridResult:
    """cells, provenances: tables as `kperf.publish` takes them; deployments: one per model that was resolved."""

    cells: pd.DataFrame
    provenances: pd.DataFrame
    context: KPerfContext
    deployments: list[Deployment]
    sim_seconds: float


def run_grid(
    archs: list[str],
    models: list[str] | None = None,
    grid: str | None = None,
    *,
    precision: str = "bf16",
    kv_precision: str | None = None,
    cards: int | str | None = "auto",
    tensor_parallel: int | None = None,
    plan: str | None = None,
    wish: Wish | None = None,
    runtime: str | None = None,
    seed: int = 0,
    intervals: bool = True,
    uncalibrated: bool = False,
    offload: str | None = None,
    software: str | None = None,
    progress: _Progress | None = None,
    workers: int | None = None,
) -> list[GridResult]:
    """Predict the grid for every architecture. A model that does not fit has its cells with the reason as status.

    plan: as `deploy` takes it; wish: what the best plan optimises, where the plan is to be found for each model, at
    the grid's shape with the most users.
    progress(done, all, which) is called at the beginning and after each cell. workers: most processes that work on
    it, one for each processor by default, with the same results. Raises UserError.
    """
    chosen = load_grid(grid or DEFAULT_GRID)
    names = models or list(KPERF_MODELS)
    longest = max(isl + osl for isl, osl, _ in chosen.cells())
    options: dict[str, Any] = {
        "precision": precision,
        "kv_precision": kv_precision,
        "cards": cards,
        "tensor_parallel": tensor_parallel,
        "plan": plan,
        "runtime": runtime,
        "tokens": longest,
        "uncalibrated": uncalibrated,
        "offload": offload,
        "software": software,
    }
    started = time.process_time()
    deployments = [[deploy(arch, name, **options) for name in names] for arch in archs]
    if wish is not None:
        deployments = [[_best_planned(each, chosen, wish, seed) for each in of_arch] for of_arch in deployments]
    asked = [_Cells(each, chosen, seed, intervals) for of_arch in deployments for each in of_arch]
    planning_s = (time.process_time() - started) / len(archs)
    rows = _predicted(asked, chosen, workers or processors(), progress or (lambda done, total, label: None))
    results = []
    for position, of_arch in enumerate(deployments):
        found = [cell for cells in rows[position * len(names) : (position + 1) * len(names)] for cell in cells]
        context = _context(of_arch[0], chosen, intervals)
        spent_s = planning_s + sum(cell_s for _, cell_s in found)
        table = _table([row for row, _ in found])
        results.append(GridResult(table, _provenances(of_arch), context, of_arch, spent_s))
    return results


def _predicted(
    asked: list[_Cells], grid: Grid, workers: int, progress: _Progress
) -> list[list[tuple[dict[str, Any], float]]]:
    """The row of the table for every cell of the grid, and the CPU seconds that it took, for each of `asked`."""
    cells = list(grid.cells())
    # Cells of many users and long answers last: `spread` begins with them once others work too.
    calls = sorted(product(range(len(asked)), range(len(cells))), key=lambda call: cells[call[1]][2])

    def predict(which: int, position: int) -> tuple[dict[str, Any], float]:
        begun = time.process_time()
        return asked[which].predict(*cells[position]), time.process_time() - begun

    rows: list[list[Any]] = [[None] * len(cells) for _ in asked]
    progress(0, len(calls), "starting")
    for done, (index, row) in enumerate(spread(predict, calls, workers), start=1):
        which, position = calls[index]
        rows[which][position] = row
        isl, osl, users = cells[position]
        progress(done, len(calls), f"{asked[which].name} {isl}/{osl} x {users}")
    return rows


def _best_planned(base: Deployment, grid: Grid, wish: Wish, seed: int) -> Deployment:
    """The best plan at the shape with the most users; `base` where none has room, so that its cells say why."""
    isl, osl, users = max(grid.cells(), key=lambda cell: cell[2])
    load = Load(isl, osl, parse_arrival(grid.arrival, users), random_prompts(grid.requests_per_user * users, isl))
    try:
        return best_for_run(base, load, users, wish, seed).best
    except DoesNotFit:
        return base


class _Cells:
    """The cells of one deployment; engines, drawn ones too, are built once for all of them."""

    def __init__(self, deployment: Deployment, grid: Grid, seed: int, intervals: bool) -> None:
        self._deployment = deployment
        self._grid = grid
        self._seed = seed
        self._reason = ""
        self._engine: AnalyticEngine | None = None
        self._drawn: list[tuple[Deployment, AnalyticEngine]] = []
        try:
            deployment.require_fit(1)
            self._engine = AnalyticEngine(deployment)
            self._drawn = list(drawn_engines(deployment, seed)) if intervals else []
        except DoesNotFit as error:
            self._reason = error.message

    @property
    def name(self) -> str:
        """What is predicted."""
        return f"{self._deployment.system.name} {self._deployment.model.name}"

    def predict(self, isl: int, osl: int, users: int) -> dict[str, Any]:
        requests = self._grid.requests_per_user * users
        row = self._conditions() | {"isl": isl, "osl": osl, "users": users, "requests": requests}
        if self._engine is None:
            return row | {"status": self._reason}
        load = Load(isl, osl, parse_arrival(self._grid.arrival, users), random_prompts(requests, isl))
        metrics = measure(simulate(self._deployment, load, self._seed, self._engine))
        if metrics["requests"] == 0:
            return row | {"status": metrics.refusal}
        row |= (
            _figures(metrics) | _spent(metrics) | {"status": PREDICTED if metrics["refused"] == 0 else metrics.refusal}
        )
        row["bound"] = self._bound(metrics, isl, osl)
        drawn = drawn_metrics(load, self._drawn, self._seed)
        if drawn:
            joint = run_draws(self._deployment, load, metrics, drawn, self._seed)
            for name in INTERVAL_METRICS:
                row[f"{name}_low"], row[f"{name}_high"] = joint.interval(name)
        return row

    def _conditions(self) -> dict[str, Any]:
        where = self._deployment
        return {
            "chip": where.system.name,
            "cards": where.plan.cards,
            "chips": where.plan.tensor_parallel,
            "plan": where.plan.name,
            "runtime": where.runtime.name,
            "model": where.model.name,
            "model_title": where.model.title,
            "precision": where.precision.name,
            "kv_precision": where.precision.kv,
        }

    def _bound(self, metrics: RunMetrics, isl: int, osl: int) -> str:
        """What moves the mean decode step most: at the largest batch of the run and half the output."""
        assert self._engine is not None
        batch = max(1, -(-round(metrics["users_in_service"]) // self._deployment.plan.data_parallel))
        return elasticities(self._deployment, self._engine, decode([isl + (osl + 1) // 2] * batch)).bound


def _figures(metrics: RunMetrics) -> dict[str, Any]:
    return {row.name: metrics[row.name] for row in shown(Shown.FOLDED)} | {"power_scope": _POWER_SCOPE}


def _spent(metrics: RunMetrics) -> dict[str, float]:
    """Millijoules of an output token by component; their sum is that of the cards."""
    parts = {group: sum(metrics.breakdown_j[name] for name in names) for group, names in GROUPS.items()}
    whole_mj = _MJ_PER_J / metrics["tokens_per_joule"]
    return {f"{group}_mj_per_token": whole_mj * joules / sum(parts.values()) for group, joules in parts.items()}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    sides = [f"{name}_{side}" for name in INTERVAL_METRICS for side in ("low", "high")]
    names = [column.name for column in COLUMNS]
    present = [side for side in sides if any(side in row for row in rows)]
    return pd.DataFrame(rows).reindex(columns=[*names, *present])


def _provenances(deployments: list[Deployment]) -> pd.DataFrame:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for deployment in deployments:
        for item in deployment.provenances():
            quantity = item.quantity
            seen[item.owner, item.path] = {
                "owner": item.owner,
                "path": item.path,
                "value": quantity.value,
                "unit": quantity.unit,
                "text": quantity.text,
                "kind": quantity.kind,
                "low": quantity.low,
                "high": quantity.high,
                "source": quantity.source,
            }
    return pd.DataFrame(list(seen.values()))


def _context(deployment: Deployment, grid: Grid, intervals: bool) -> KPerfContext:
    system, calibration = deployment.system, deployment.calibration
    return KPerfContext(
        chip_title=system.title,
        chip_note=system.note,
        silicon=system.silicon,
        grid_name=grid.title,
        grid_source=grid.source,
        arrival_text=f"{grid.arrival}, {grid.requests_per_user} requests per user, at most one per user in flight",
        interval_text=interval_text(calibration) if intervals else "no intervals",
        calibration_text=str(calibration_text(calibration, deployment.runtime.name)),
        software_text=_software_text(deployment),
    )


def _software_text(deployment: Deployment) -> str:
    used = deployment.software
    return f"{deployment.runtime.title}, as described" if used is None else str(software_text(used))
