"""A sweep cut into tasks that any worker can do alone: estimates of a run of designs, or serving of some points."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from npusim.errors import DoesNotFit
from npusim.explore.sweep.estimate import estimate_designs
from npusim.explore.sweep.machines import DesignRecords, Records
from npusim.explore.sweep.space import SpaceAxis, design_values, space_axes
from npusim.explore.sweep.spec import SERVED, SERVED_PREFIX, SweepSpec
from npusim.inputs import remembered
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.shared import with_shared
from npusim.serving.metrics import measure
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import parse_arrival

DEPLOYED = ("model", "precision", "cards", "plan", "runtime")
LOADED = ("isl", "osl", "users")
KEYS = ("design", *DEPLOYED, *LOADED)
SERVED_COLUMNS = (*KEYS, *(f"{SERVED_PREFIX}{name}" for name in SERVED), "refusal")


@dataclass(frozen=True)
class SweepVariant:
    """What is deployed, apart from the varied numbers. plan: None for tensor parallelism over `cards`; runtime: None
    for the architecture's own."""

    model: str
    precision: str
    cards: int
    plan: str | None
    runtime: str | None


def variants(spec: SweepSpec) -> list[SweepVariant]:
    """Every combination of model, precision, cards or plan, and runtime, in the order of the file."""
    runtimes: tuple[str | None, ...] = spec.runtimes or (None,)
    spreads: list[tuple[int, str | None]] = [(1, plan) for plan in spec.plans]
    spreads = spreads or [(cards, None) for cards in spec.cards or (1,)]
    chosen = itertools.product(spec.models, spec.precisions, spreads, runtimes)
    return [SweepVariant(model, precision, *spread, runtime) for model, precision, spread, runtime in chosen]


@dataclass(frozen=True)
class Base:
    deployment: Deployment
    axes: list[SpaceAxis]
    records: DesignRecords

    def designs(self, values: np.ndarray) -> Iterator[tuple[np.ndarray, Deployment, Records]]:
        """Indices of designs with the same shared assumptions, the deployment under these, and their records."""
        shared = [column for column, axis in enumerate(self.axes) if axis.number.is_shared]
        kinds, kind_of = np.unique(values[:, shared], axis=0, return_inverse=True)
        records = self.records.of(values)
        for index, kind in enumerate(kinds):
            told = {self.axes[column].number: float(value) for column, value in zip(shared, kind, strict=True)}
            rows = np.flatnonzero(kind_of.ravel() == index)
            yield rows, with_shared(self.deployment, told), records.of(rows)

    def estimated(self, values: np.ndarray, isl: int, osl: int, users: int) -> pd.DataFrame:
        """The estimated metrics of designs, values (designs, axes), in their order."""
        parts = [
            estimate_designs(deployment, records, isl, osl, users).set_axis(rows)
            for rows, deployment, records in self.designs(values)
        ]
        return pd.concat(parts).sort_index()

    def keys(self, variant: SweepVariant) -> dict[str, Any]:
        """The columns DEPLOYED of its points."""
        plan = self.deployment.plan
        told = (variant.model, variant.precision, plan.cards, plan.name, self.deployment.runtime.name)
        return dict(zip(DEPLOYED, told, strict=True))


@remembered
def _base(arch: str, variant: SweepVariant, tokens: int, spec_text: str, location: str) -> Base:
    spec = SweepSpec.model_validate_json(spec_text)
    deployment = deploy(
        arch,
        variant.model,
        precision=variant.precision,
        cards=variant.cards,
        plan=variant.plan,
        runtime=variant.runtime,
        tokens=tokens,
    )
    axes = space_axes(spec, deployment.system, [deployment.runtime], location)
    return Base(deployment, axes, DesignRecords(deployment, axes))


def base_of(spec: SweepSpec, variant: SweepVariant, location: str) -> Base:
    """The deployment of a variant with its axes; remembered by each worker. Raises UserError."""
    longest = max(load.isl + load.osl for load in spec.workloads)
    return _base(spec.arch, variant, longest, spec.model_dump_json(), location)


def task_estimates(spec: SweepSpec, location: str, first: int, last: int) -> pd.DataFrame:
    """The points of designs first ... last - 1: KEYS, a column for each axis (SI), the estimated metrics."""
    return pd.concat(_estimates(spec, location, first, last), ignore_index=True)


def _estimates(spec: SweepSpec, location: str, first: int, last: int) -> Iterator[pd.DataFrame]:
    for variant in variants(spec):
        base = base_of(spec, variant, location)
        values = design_values(spec, base.axes, first, last)
        varied = pd.DataFrame(values, columns=[axis.path for axis in base.axes])
        for load in spec.workloads:
            for users in load.users:
                metrics = base.estimated(values, load.isl, load.osl, users)
                loaded = dict(zip(LOADED, (load.isl, load.osl, users), strict=True))
                keys = pd.DataFrame({"design": np.arange(first, last), **base.keys(variant), **loaded})
                yield pd.concat([keys, varied, metrics], axis=1)


def serve_points(spec: SweepSpec, location: str, points: pd.DataFrame) -> pd.DataFrame:
    """KEYS of `points` with the served metrics of each; NaN with the reason in `refusal` where it does not fit."""
    bases = [(variant, base_of(spec, variant, location)) for variant in variants(spec)]
    by_keys = {tuple(base.keys(variant).values()): base for variant, base in bases}
    rows = []
    for point in points.to_dict("records"):
        base = by_keys[tuple(point[name] for name in DEPLOYED)]
        values = np.array([point[axis.path] for axis in base.axes])
        keys = {key: point[key] for key in KEYS}
        rows.append(keys | served_figures(spec, base.records.deployment(values), point))
    return pd.DataFrame(rows, columns=list(SERVED_COLUMNS))


def served_figures(spec: SweepSpec, deployment: Deployment, point: Mapping[Hashable, Any]) -> dict[str, float | str]:
    """The served metrics of a deployment under the load of `point` (isl, osl, users), and why it was refused."""
    assert spec.serving is not None
    users = point["users"]
    arrival = parse_arrival(spec.serving.arrival, users)
    load = random_load(point["isl"], point["osl"], arrival, spec.serving.requests_per_user * users)
    try:
        metrics = measure(simulate(deployment, load, spec.seed))
    except DoesNotFit as error:
        return {"refusal": error.message}
    return {f"{SERVED_PREFIX}{name}": float(metrics[name]) for name in SERVED} | {"refusal": metrics.refusal}
