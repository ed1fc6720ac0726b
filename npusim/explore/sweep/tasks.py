"""A sweep cut into tasks that any worker can do alone: estimates of a run of designs, or serving of some points."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from npusim.errors import DoesNotFit, UserError
from npusim.explore.formula import parse, resolved
from npusim.explore.sweep.estimate import SHARE_COLUMNS, estimate_designs
from npusim.explore.sweep.machines import DesignRecords, Possible
from npusim.explore.sweep.space import SpaceAxis, design_values, known_numbers, space_axes
from npusim.explore.sweep.spec import ESTIMATED, OPTIMIZED, SERVED, SERVED_PREFIX, SweepSpec
from npusim.hardware.catalog import runtime_path
from npusim.hardware.changes import Changes, as_changes
from npusim.hardware.power import headroom_w
from npusim.inputs import remembered
from npusim.mapping.deployment import Deployment, deploy
from npusim.mapping.shared import with_shared
from npusim.serving.metrics import measure
from npusim.serving.simulate import random_load, simulate
from npusim.workload.arrivals import parse_arrival
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision

DEPLOYED = ("model", "precision", "cards", "plan", "runtime", "software")
AS_DESCRIBED = "as described"
"""In place of a state, for a runtime of which only what it does is described."""
LOADED = ("isl", "osl", "users")
TASK_KEYS = ("design", *DEPLOYED, *LOADED)
SERVED_COLUMNS = (*TASK_KEYS, *(f"{SERVED_PREFIX}{name}" for name in SERVED), "refusal")


@dataclass(frozen=True)
class SweepVariant:
    """What is deployed, apart from the varied numbers. plan: None for tensor parallelism over `cards`; runtime,
    software: None for the architecture's own, and for its usual state."""

    model: str
    precision: str
    cards: int
    plan: str | None
    runtime: str | None
    software: str | None


def variants(spec: SweepSpec) -> list[SweepVariant]:
    """Every combination of model, precision, cards or plan, runtime and software, in the order of the file."""
    runtimes: tuple[str | None, ...] = spec.runtimes or (None,)
    states: tuple[str | None, ...] = spec.software or (None,)
    spreads: list[tuple[int, str | None]] = [(1, plan) for plan in spec.plans]
    spreads = spreads or [(cards, None) for cards in spec.cards or (1,)]
    chosen = itertools.product(spec.models, spec.precisions, spreads, runtimes, states)
    return [SweepVariant(model, precision, *spread, *driven) for model, precision, spread, *driven in chosen]


REFUSAL = "refusal"
"""Why a point has no figures; empty where it has."""
_NO_ROOM = "not one request has room beside the weights"
_NO_POWER = "the power cap leaves nothing to work above what the chip draws idle and loaded"


@dataclass(frozen=True)
class Base:
    """A deployment of a variant with the axes; made with the words that designs have, once for each of them."""

    spec: SweepSpec
    variant: SweepVariant
    location: str
    deployment: Deployment
    axes: list[SpaceAxis]
    records: DesignRecords

    def designs(self, values: np.ndarray) -> Iterator[tuple[np.ndarray, Deployment, Possible]]:
        """Positions of designs with the same words and shared assumptions, the deployment under these, and which of
        them can be."""
        shared = [column for column, axis in enumerate(self.axes) if axis.is_shared]
        kinds, kind_of = np.unique(values[:, shared], axis=0, return_inverse=True)
        for index, kind in enumerate(kinds):
            told = {self.axes[column].figure: float(value) for column, value in zip(shared, kind, strict=True)}
            rows = np.flatnonzero(kind_of.ravel() == index)
            yield rows, with_shared(self.deployment, told), self.records.possible(values[rows])

    def estimated(self, values: np.ndarray, isl: int, osl: int, users: int) -> pd.DataFrame:
        """The estimated metrics of designs, values (designs, axes), in their order, and why any have none."""
        coordinates = {axis.coordinate for axis in self.axes if axis.number is None}
        words = [column for column, axis in enumerate(self.axes) if axis.coordinate in coordinates]
        kinds, kind_of = np.unique(values[:, words], axis=0, return_inverse=True)
        parts = []
        for index in range(len(kinds)):
            rows = np.flatnonzero(kind_of.ravel() == index)
            try:
                own = self.with_words(values[rows[0]])
                parts.append(own._estimated(values[rows], isl, osl, users).set_axis(rows))
            except UserError as error:
                parts.append(pd.DataFrame({REFUSAL: str(error)}, index=rows))
        return pd.concat(parts).sort_index()

    def _estimated(self, values: np.ndarray, isl: int, osl: int, users: int) -> pd.DataFrame:
        parts, load = [], (isl, osl, users)
        for rows, deployment, possible in self.designs(values):
            if len(possible.rows):
                figures = estimate_designs(
                    deployment, possible.records, *load,
                    bounds=self.spec.bounds, simulated=self.spec.engine == "event",
                )  # fmt: skip
                for path in self.told:
                    figures[path] = self._described[path]
                powerless = headroom_w(possible.records.machines) <= 0.0
                reasons = np.where(powerless, _NO_POWER, _NO_ROOM)
                figures[REFUSAL] = np.where(figures["users_resident"] > 0, "", reasons)
                parts.append(figures.set_axis(rows[possible.rows]))
            refused = pd.Series(possible.refused, dtype=object)
            parts.append(pd.DataFrame({REFUSAL: refused.to_numpy()}, index=rows[refused.index.to_numpy(np.int64)]))
        return pd.concat([part for part in parts if len(part)]).sort_index()

    @cached_property
    def told(self) -> tuple[str, ...]:
        """Paths of numbers that constraints name and that are not varied: columns of their own. Raises UserError."""
        columns = dict.fromkeys([*OPTIMIZED, *SHARE_COLUMNS, "bound_gain", *(axis.path for axis in self.axes)])
        found: dict[str, None] = {}
        for name in (name for text in self.spec.constraints for name in parse(text).names):
            if resolved(name, columns) is None:
                path = resolved(name, self._described)
                if path is None:
                    message = f"'{name}' is no metric and no number of which only one ends so; give its whole path"
                    raise UserError(self.location, "constraints", message)
                found[path] = None
        return tuple(found)

    @cached_property
    def _described(self) -> dict[str, float]:
        known = known_numbers(self.deployment.system, self.deployment.runtime)
        return {path: number.quantity.value for path, number in known.items()}

    def with_words(self, values: np.ndarray) -> Base:
        """The same with the words of one design, and the numbers that stand beside them in a table.

        Raises UserError where no description can say them.
        """
        words = {axis.coordinate for axis in self.axes if axis.number is None}
        told = {
            axis.path: axis.told(value)
            for axis, value in zip(self.axes, values.tolist(), strict=True)
            if axis.coordinate in words
        }
        return self if not told else _base(self.spec, self.variant, self.location, as_changes(told))

    def design(self, values: np.ndarray) -> Deployment:
        """The deployment of one design. Raises UserError where it cannot be."""
        return self.with_words(values).records.deployment(values)

    def keys(self, variant: SweepVariant) -> dict[str, Any]:
        """The columns DEPLOYED of its points."""
        plan = self.deployment.plan
        used = self.deployment.software
        driven = self.deployment.runtime.name, AS_DESCRIBED if used is None else used.state
        told = (variant.model, variant.precision, plan.cards, plan.name, *driven)
        return dict(zip(DEPLOYED, told, strict=True))


def _base(spec: SweepSpec, variant: SweepVariant, location: str, changes: Changes = ()) -> Base:
    longest = max(load.isl + load.osl for load in spec.workloads)
    return _made(spec.arch, variant, longest, spec.model_dump_json(by_alias=True), location, changes)


@remembered
def _made(arch: str, variant: SweepVariant, tokens: int, spec_text: str, location: str, changes: Changes) -> Base:
    spec = SweepSpec.model_validate_json(spec_text)
    deployment = deploy(
        arch,
        variant.model,
        precision=variant.precision,
        cards=variant.cards,
        plan=variant.plan,
        runtime=variant.runtime,
        tokens=tokens,
        changes=changes,
        software=variant.software,
    )
    axes = space_axes(spec, deployment.system, [deployment.runtime], location)
    return Base(spec, variant, location, deployment, axes, DesignRecords(deployment, axes))


def base_of(spec: SweepSpec, variant: SweepVariant, location: str) -> Base:
    """The deployment of a variant with its axes; remembered by each worker. Raises UserError."""
    return _base(spec, variant, location)


def possible_bases(spec: SweepSpec, location: str) -> tuple[list[Base], dict[SweepVariant, str]]:
    """The variants that can be deployed, and why others cannot. Raises UserError where none can, and for a name that
    means nothing.
    """
    _require_names(spec)
    bases, refused, mistakes = [], {}, []
    for variant in variants(spec):
        try:
            base = base_of(spec, variant, location)
            bases.append(base)
        except UserError as error:
            refused[variant] = str(error)
            mistakes.append(error)
    for base in bases:
        _ = base.told
    if not bases or any(error.location == location for error in mistakes):
        raise mistakes[0]
    return bases, refused


def _require_names(spec: SweepSpec) -> None:
    for precision in spec.precisions:
        resolve_precision(precision, "bf16")
    for model in spec.models:
        load_model(model)
    for runtime in spec.runtimes:
        runtime_path(runtime)


def task_estimates(spec: SweepSpec, location: str, first: int, last: int) -> pd.DataFrame:
    """The points of designs first ... last - 1: TASK_KEYS, a column an axis (SI; words), the estimated metrics."""
    return whole_rows(spec, pd.concat(_estimates(spec, location, first, last), ignore_index=True))


def whole_rows(spec: SweepSpec, table: pd.DataFrame) -> pd.DataFrame:
    """Points with every column of estimates, NaN or empty where they have none."""
    columns = [*ESTIMATED, *SHARE_COLUMNS, *(("bound_gain",) if spec.bounds else ())]
    texts = [*(("bound",) if spec.bounds else ()), REFUSAL]
    keys = [name for name in table.columns if name not in (*columns, *texts)]
    figures = table.reindex(columns=columns).astype(np.float64)
    return pd.concat([table[keys], figures, table.reindex(columns=texts).astype(object).fillna("").astype(str)], axis=1)


def _estimates(spec: SweepSpec, location: str, first: int, last: int) -> Iterator[pd.DataFrame]:
    bases, refused = possible_bases(spec, location)
    values = design_values(spec, bases[0].axes, first, last)
    varied = told_values(bases[0].axes, values)
    designs = {"design": np.arange(first, last)}
    for load in spec.workloads:
        for users in load.users:
            loaded = dict(zip(LOADED, (load.isl, load.osl, users), strict=True))
            for base in bases:
                keys = pd.DataFrame({**designs, **base.keys(base.variant), **loaded})
                yield pd.concat([keys, varied, base.estimated(values, load.isl, load.osl, users)], axis=1)
            for variant, reason in refused.items():
                keys = pd.DataFrame({**designs, **_asked_keys(variant), **loaded})
                yield pd.concat([keys, varied, pd.DataFrame({REFUSAL: reason}, index=varied.index)], axis=1)


def _asked_keys(variant: SweepVariant) -> dict[str, Any]:
    """The columns DEPLOYED of a variant that cannot be, as it was asked for."""
    told = (variant.model, variant.precision, variant.cards, variant.plan or "", variant.runtime or "")
    return dict(zip(DEPLOYED, told, strict=True))


def told_values(axes: Sequence[SpaceAxis], values: np.ndarray) -> pd.DataFrame:
    """A column for each axis: numbers in SI units, words as they are."""
    columns = {}
    for column, axis in enumerate(axes):
        numbers = values[:, column]
        columns[axis.path] = numbers if axis.number is not None else [axis.option_text(each) for each in numbers]
    return pd.DataFrame(columns, index=range(len(values)))


def serve_points(spec: SweepSpec, location: str, points: pd.DataFrame) -> pd.DataFrame:
    """KEYS of `points` with the served metrics of each; NaN with the reason in `refusal` where it does not fit."""
    by_keys = {tuple(base.keys(base.variant).values()): base for base in possible_bases(spec, location)[0]}
    rows = []
    for point in points.to_dict("records"):
        base = by_keys[tuple(point[name] for name in DEPLOYED)]
        values = np.array([axis.value_of(point[axis.path]) for axis in base.axes])
        keys = {key: point[key] for key in TASK_KEYS}
        rows.append(keys | served_figures(spec, base.design(values), point))
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
