"""The K-Perf grid on an architecture: every model, shape and number of users becomes a cell of the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pandas as pd

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.designs import HOST
from npusim.engine.elasticity import elasticities
from npusim.engine.speculation import analytic_engine
from npusim.errors import DoesNotFit
from npusim.fidelity.assumptions import fidelity_table
from npusim.hardware.calibration import calibration_text
from npusim.hardware.drafting import NONE
from npusim.hardware.software import software_text
from npusim.hardware.technology.energy import GROUPS
from npusim.inputs.limits import MOST_REQUESTS, MOST_USERS
from npusim.kperf.fidelity import fidelity_columns
from npusim.kperf.on_device import device_columns
from npusim.kperf.shares import SHARE, SHARES, no_shares
from npusim.kperf.table import ASKED_COLUMNS, COLUMNS, FIDELITY_METRIC, INTERVAL_METRICS, PREDICTED, KPerfContext
from npusim.ledger import provenances
from npusim.mapping.deployment import Deployment, deploy
from npusim.metric_row import Shown
from npusim.metrics import SEARCHES, shown
from npusim.serving.joint import run_draws
from npusim.serving.load import Load, make_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.on_device import on_device
from npusim.serving.planning import Wish, best_for_run
from npusim.serving.simulate import simulate
from npusim.serving.slo import Slo, SloSearch
from npusim.serving.uncertainty import drawn_engines, drawn_metrics, interval_text
from npusim.workers import processors, spread
from npusim.workload.arrivals import parse_arrival
from npusim.workload.grid import Grid, load_grid
from npusim.workload.lengths import spreads_text

KPERF_MODELS = ("llama-3.1-8b", "exaone-4.0-32b", "exaone-3.5-32b", "llama-3.3-70b", "llama-3.1-405b")
DEFAULT_GRID = "furiosa-perf-32k"
_MJ_PER_J = 1e3
_POWER_SCOPE = "cards (no server, no wall)"
USERS_AT_SLO = SEARCHES[0].name
_Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class GridResult:
    """cells, provenances, shares: tables as `kperf.publish` takes them; deployments: one of each model."""

    cells: pd.DataFrame
    provenances: pd.DataFrame
    context: KPerfContext
    deployments: list[Deployment]
    sim_seconds: float
    shares: pd.DataFrame = field(default_factory=no_shares)


def run_grid(
    archs: list[str],
    models: list[str] | None = None,
    grid: str | None = None,
    *,
    precision: str | None = None,
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
    drafting: str | None = None,
    slo: Slo | None = None,
    progress: _Progress | None = None,
    workers: int | None = None,
) -> list[GridResult]:
    """Predict the grid for every architecture. A model that does not fit has its cells with the reason as status.

    plan, drafting: as `deploy` takes them; wish: what the best plan optimises, where the plan is to be found for each
    model, at the grid's shape with the most users; slo: limits for which the most users of each shape are sought.
    progress(done, all, which) is called at the beginning and after each cell. workers: most processes that work on
    it, one for each processor by default, with the same results. Raises UserError.
    """
    chosen = load_grid(grid or DEFAULT_GRID)
    names = models or list(KPERF_MODELS)
    options: dict[str, Any] = {
        "precision": precision,
        "kv_precision": kv_precision,
        "cards": cards,
        "tensor_parallel": 1 if wish is not None and isinstance(cards, int) else tensor_parallel,
        "plan": plan,
        "runtime": runtime,
        "tokens": chosen.longest,
        "uncalibrated": uncalibrated,
        "offload": offload,
        "software": software,
        "drafting": drafting,
    }
    started = time.process_time()
    deployments = [[deploy(arch, name, **options) for name in names] for arch in archs]
    if wish is not None:
        deployments = [[_best_planned(each, chosen, wish, seed) for each in of_arch] for of_arch in deployments]
    asked = [_Cells(each, chosen, seed, intervals, slo) for of_arch in deployments for each in of_arch]
    planning_s = (time.process_time() - started) / len(archs)
    rows = _predicted(asked, chosen, workers or processors(), progress or (lambda done, total, label: None))
    results = []
    for position, of_arch in enumerate(deployments):
        found = [cell for cells in rows[position * len(names) : (position + 1) * len(names)] for cell in cells]
        context = _context(of_arch[0], chosen, intervals)
        spent_s = planning_s + sum(cell_s for _, cell_s in found)
        told = [row for row, _ in found]
        shares = pd.DataFrame(told).reindex(columns=list(SHARES))
        results.append(GridResult(_table(told), _provenances(of_arch), context, of_arch, spent_s, shares))
    return results


def _predicted(
    asked: list[_Cells], grid: Grid, workers: int, progress: _Progress
) -> list[list[tuple[dict[str, Any], float]]]:
    """The row of the table for every cell of the grid, and the CPU seconds that it took, for each of `asked`."""
    cells = list(grid.cells())
    shapes = [] if asked[0].slo is None else [(point.isl, point.osl, point.users[0]) for point in grid.points]
    # Cells of many users and long answers last: `spread` begins with them once others work too.
    calls = sorted(product(range(len(asked)), range(len(cells))), key=lambda call: cells[call[1]][2])
    calls += product(range(len(asked)), range(len(cells), len(cells) + len(shapes)))

    def predict(which: int, position: int) -> tuple[dict[str, Any], float]:
        begun = time.process_time()
        cell = (*cells, *shapes)[position]
        row = asked[which].predict(*cell) if position < len(cells) else asked[which].at_slo(*cell)
        return row, time.process_time() - begun

    rows: list[list[Any]] = [[None] * (len(cells) + len(shapes)) for _ in asked]
    progress(0, len(calls), "starting")
    for done, (index, row) in enumerate(spread(predict, calls, workers), start=1):
        which, position = calls[index]
        rows[which][position] = row
        isl, osl, users = (*cells, *shapes)[position]
        progress(done, len(calls), f"{asked[which].name} {isl}/{osl} x {users}")
    return [_with_shapes(of, cells, shapes) for of in rows]


def _with_shapes(rows: list[Any], cells: list[Any], shapes: list[Any]) -> list[tuple[dict[str, Any], float]]:
    """The rows of cells with what is told of their shapes; the seconds of a shape count with its first cell."""
    of_shape = {shape[:2]: found for shape, found in zip(shapes, rows[len(cells) :], strict=True)}
    made = []
    for cell, (row, seconds) in zip(cells, rows, strict=False):
        told, more = of_shape.get(cell[:2], ({}, 0.0))
        of_shape[cell[:2]] = (told, 0.0)
        made.append((row | told, seconds + more))
    return made


def _best_planned(base: Deployment, grid: Grid, wish: Wish, seed: int) -> Deployment:
    """The best plan at the shape with the most users; `base` where none has room, so that its cells say why."""
    isl, osl, users = max(grid.cells(), key=lambda cell: cell[2])
    load = _load(grid, isl, osl, users, seed)
    try:
        return best_for_run(base, load, users, wish, seed).best
    except DoesNotFit:
        return base


def _load(grid: Grid, isl: int, osl: int, users: int, seed: int) -> Load:
    """What a cell serves."""
    arrival = parse_arrival(grid.arrival, users)
    return make_load(*grid.lengths_of(isl, osl), arrival, grid.requests_per_user * users, seed)


class _Cells:
    """The cells of one deployment; engines, drawn ones too, are built once for all of them."""

    def __init__(self, deployment: Deployment, grid: Grid, seed: int, intervals: bool, slo: Slo | None = None) -> None:
        self.slo = slo
        self._deployment = deployment
        self._grid = grid
        self._seed = seed
        self._reason = ""
        self._engine: AnalyticEngine | None = None
        self._drawn: list[tuple[Deployment, AnalyticEngine]] = []
        self._fidelity = fidelity_columns(deployment, seed)
        try:
            deployment.require_fit(1)
            self._engine = analytic_engine(deployment)
            self._drawn = list(drawn_engines(deployment, seed)) if intervals else []
        except DoesNotFit as error:
            self._reason = error.message

    @property
    def name(self) -> str:
        """What is predicted."""
        return f"{self._deployment.system.name} {self._deployment.model.name}"

    def predict(self, isl: int, osl: int, users: int) -> dict[str, Any]:
        requests = self._grid.requests_per_user * users
        lengths = spreads_text(*(each.spread for each in self._grid.lengths_of(isl, osl)))
        row = self._conditions() | {"isl": isl, "osl": osl, "lengths": lengths, "users": users, "requests": requests}
        if self._engine is None:
            return row | {"status": self._reason}
        load = _load(self._grid, isl, osl, users, self._seed)
        metrics = measure(simulate(self._deployment, load, self._seed, self._engine))
        if metrics["requests"] == 0:
            return row | {"status": metrics.refusal}
        row |= (
            _figures(metrics) | _spent(metrics) | {"status": PREDICTED if metrics["refused"] == 0 else metrics.refusal}
        )
        row |= self._mean_step(metrics, isl, osl)
        drawn = drawn_metrics(load, self._drawn, self._seed)
        joint = run_draws(self._deployment, load, metrics, drawn, self._seed) if drawn else None
        if joint is not None:
            for name in INTERVAL_METRICS:
                row[f"{name}_low"], row[f"{name}_high"] = joint.interval(name)
        found = on_device(self._deployment, load, metrics, self._engine, self._seed, joint, self._drawn)
        return row | device_columns(found, self._deployment)

    def at_slo(self, isl: int, osl: int, start: int) -> dict[str, Any]:
        """The most users of a shape within the limits, nothing where the model has no room."""
        if self._engine is None or self.slo is None:
            return {}
        most = min(MOST_USERS, MOST_REQUESTS // self._grid.requests_per_user)
        search = SloSearch(self.slo, lambda users: _load(self._grid, isl, osl, users, self._seed), most, self._seed)
        found = search.value(self._deployment, start, self._engine)
        row: dict[str, Any] = {USERS_AT_SLO: found.value}
        if self._drawn:
            found = search.ranged(found, self._drawn, self._deployment.calibration)
            row |= {f"{USERS_AT_SLO}_low": found.low, f"{USERS_AT_SLO}_high": found.high}
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
            "speculation": NONE if where.drafting is None else where.drafting.asked,
            **self._fidelity,
        }

    def _mean_step(self, metrics: RunMetrics, isl: int, osl: int) -> dict[str, Any]:
        """Of the decode step at the largest batch of the run and half the output: what moves it most, and the parts of
        its time by resource, host time that it does not hide included."""
        assert self._engine is not None
        batch = max(1, -(-round(metrics["users_in_service"]) // self._deployment.plan.data_parallel))
        step = self._deployment.decoding([isl + (osl + 1) // 2] * batch)
        cost = self._engine.cost(step)
        host_s = self._engine.host_s(cost.time_s, batch)
        whole_s = cost.time_s + host_s
        parts = {f"{SHARE}{name}": seconds / whole_s for name, seconds in (cost.shares_s | {HOST: host_s}).items()}
        return {"bound": elasticities(self._deployment, self._engine, step).bound, **parts}


def _figures(metrics: RunMetrics) -> dict[str, Any]:
    return {row.name: metrics[row.name] for row in shown(Shown.FOLDED)} | {"power_scope": _POWER_SCOPE}


def _spent(metrics: RunMetrics) -> dict[str, float]:
    """Millijoules of an output token by component; their sum is that of the cards."""
    parts = {group: sum(metrics.breakdown_j[name] for name in names) for group, names in GROUPS.items()}
    whole_mj = _MJ_PER_J / metrics["tokens_per_joule"]
    return {f"{group}_mj_per_token": whole_mj * joules / sum(parts.values()) for group, joules in parts.items()}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    asked = [column.name for column in ASKED_COLUMNS]
    sides = [f"{name}_{side}" for name in (*INTERVAL_METRICS, FIDELITY_METRIC, *asked) for side in ("low", "high")]
    sides = [*asked, *sides]
    names = [column.name for column in COLUMNS]
    present = [side for side in sides if any(side in row for row in rows)]
    return pd.DataFrame(rows).reindex(columns=[*names, *present])


def _provenances(deployments: list[Deployment]) -> pd.DataFrame:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for deployment in deployments:
        for item in (*deployment.provenances(), *provenances("fidelity", fidelity_table())):
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
