"""A sweep from its file to its folder: estimate all designs, serve those that survive, select and write."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.explore.sweep.backend import Backend, Task
from npusim.explore.sweep.effects import effects
from npusim.explore.sweep.selection import feasible, objective_costs, pareto, survivors
from npusim.explore.sweep.spec import SweepSpec
from npusim.explore.sweep.store import Store
from npusim.explore.sweep.tables import joined, write_csv, write_points
from npusim.explore.sweep.tasks import (
    REFUSAL,
    SERVED_COLUMNS,
    TASK_KEYS,
    possible_bases,
    serve_points,
    task_estimates,
    variants,
)
from npusim.inputs import recording

DESIGNS_PER_TASK = 2048
POINTS_PER_TASK = 8
_REPORTS = 10
WORKLOAD = ["model", "isl", "osl", "users"]
_Say = Callable[[str], None]


@dataclass(frozen=True)
class SweepResult:
    """points: rows of the table; kept: those that keep every limit and constraint; served: those served request by
    request; refused: how many have no figures, by the reason.

    front: the Pareto front, by workload (model, isl, osl, users); effects: as `effects.effects`; sample: all points,
    some of them where they are very many; files: relative to the folder.
    """

    spec: SweepSpec
    axes: list[str]
    points: int
    kept: int
    served: int
    refused: dict[str, int]
    front: pd.DataFrame
    effects: pd.DataFrame
    sample: pd.DataFrame
    files: list[str]


def run_sweep(spec: SweepSpec, location: str, out: Path, backend: Backend, say: _Say | None = None) -> SweepResult:
    """Run `spec`, or what is left of it where `out` holds whole parts of it already.

    location: the specification's file, named in mistakes. Raises UserError, also where a file was changed since.
    """
    tell = say or (lambda _: None)
    with recording() as read:
        axes = possible_bases(spec, location)[0][0].axes
        task_estimates(spec.model_copy(update={"engine": "analytic"}), location, 0, 1)
    store = Store(out, spec.model_dump(mode="json"), read.files)
    _estimate_all(spec, location, store, backend, tell)
    served = _serve_all(spec, location, store, backend, tell) if spec.serving else None
    points = write_points(spec, store, served)
    front, kept = _front(spec, store, served)
    influence = effects(spec, axes, points)
    refused = _refused(store)
    files = ["points.parquet", "points.csv", "pareto.csv", "effects.csv"]
    write_csv(front, out / "pareto.csv")
    write_csv(influence, out / "effects.csv")
    count = 0 if served is None else len(served)
    paths = [axis.path for axis in axes]
    return SweepResult(spec, paths, _rows(spec), kept, count, refused, front, influence, points, files)


def _rows(spec: SweepSpec) -> int:
    return spec.designs * len(variants(spec)) * sum(len(load.users) for load in spec.workloads)


def _refused(store: Store) -> dict[str, int]:
    """Points without figures by the reason, the most frequent first."""
    counts: Counter[str] = Counter()
    for name in store.names("estimate"):
        reasons = store.get(name)[REFUSAL]
        counts.update(reasons[reasons != ""])
    return dict(counts.most_common())


def _estimate_all(spec: SweepSpec, location: str, store: Store, backend: Backend, tell: _Say) -> None:
    starts = range(0, spec.designs, DESIGNS_PER_TASK)
    calls = [
        (f"estimate-{first:09d}", (spec, location, first, min(first + DESIGNS_PER_TASK, spec.designs)))
        for first in starts
    ]
    _run_missing("estimates", task_estimates, calls, store, backend, tell)


def _serve_all(spec: SweepSpec, location: str, store: Store, backend: Backend, tell: _Say) -> pd.DataFrame:
    """Served metrics of every surviving point."""
    calls = [(name, (spec, location, points)) for name, points in _batches(spec, store)]
    _run_missing("serving", serve_points, calls, store, backend, tell)
    parts = [store.get(name) for name, _ in calls]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(SERVED_COLUMNS))


def _run_missing(
    what: str, task: Task, calls: list[tuple[str, tuple[Any, ...]]], store: Store, backend: Backend, tell: _Say
) -> None:
    """Run the calls whose parts are not there yet, and keep each part as it comes."""
    left = [call for call in calls if not store.has(call[0])]
    if len(left) < len(calls):
        tell(f"{what}: {len(calls) - len(left)} of {len(calls)} parts are there already")
    with recording() as read, contextlib.closing(backend.run(task, left)) as results:
        for done, (name, part) in enumerate(results, start=1):
            store.note(read.files)
            store.put(name, part)
            if done % math.ceil(len(left) / _REPORTS) == 0 or done == len(left):
                tell(f"{what}: {done} of {len(left)} parts")


def _batches(spec: SweepSpec, store: Store) -> Iterator[tuple[str, pd.DataFrame]]:
    """Surviving points, as many as one task serves, with the name of its part."""
    for name in store.names("estimate"):
        points = store.get(name)
        alive = points[survivors(spec, points)]
        for first in range(0, len(alive), POINTS_PER_TASK):
            yield f"{name.replace('estimate', 'served')}-{first:07d}", alive.iloc[first : first + POINTS_PER_TASK]


def _front(spec: SweepSpec, store: Store, served: pd.DataFrame | None) -> tuple[pd.DataFrame, int]:
    """The Pareto front of each workload, in the order of its first objective, and the number of points within limits.

    Fronts of parts are joined, since a point that a part's own front leaves out is on no larger one.
    """
    kept, fronts = 0, []
    for name in store.names("estimate"):
        points = joined(store.get(name), served)
        points = points[feasible(spec, points)]
        kept += len(points)
        fronts += [_front_of(spec, group) for _, group in points.groupby(WORKLOAD, sort=False)]
    if not fronts:
        return pd.DataFrame(columns=[*TASK_KEYS, *spec.objectives]), kept
    candidates = pd.concat(fronts, ignore_index=True)
    final = pd.concat([_front_of(spec, group) for _, group in candidates.groupby(WORKLOAD, sort=False)])
    return final.reset_index(drop=True), kept


def _front_of(spec: SweepSpec, points: pd.DataFrame) -> pd.DataFrame:
    front = points[pareto(objective_costs(spec, points))]
    first, goal = next(iter(spec.objectives.items()))
    return front.sort_values(first, ascending=goal == "min", kind="stable")
