"""What a sweep varies, under which workloads, within which limits and for which objectives, as its YAML gives it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from npusim.explore.formula import parse
from npusim.hardware.base import Part, Users, Whole
from npusim.hardware.states import State
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs.limits import MOST
from npusim.metric_row import Shown
from npusim.metrics import ESTIMATES, shown

Name = Annotated[str, Field(min_length=1)]
Goal = Literal["min", "max"]

ESTIMATED = tuple(row.name for row in ESTIMATES)
SERVED = tuple(row.name for row in shown(Shown.FOLDED))
SERVED_PREFIX = "served_"
OPTIMIZED = (*ESTIMATED, *(f"{SERVED_PREFIX}{name}" for name in SERVED))


Written = bool | int | float | str
"""A number with its unit, or a word."""


def _formula(text: str) -> str:
    parse(text)
    return text


FormulaText = Annotated[str, AfterValidator(_formula)]


class SweptAxis(Part):
    """What one number or word of a description takes: listed values, or for a number a range."""

    values: tuple[Written, ...] | None = Field(default=None, min_length=1, max_length=10_000)
    """Values, each with its unit, or words such as a policy or a DRAM standard; in place of `low` and `high`."""
    low: str | float | int | None = None
    """Lower end of the range, with its unit."""
    high: str | float | int | None = None
    """Upper end of the range, with its unit."""
    scale: Literal["linear", "log"] = "linear"
    """Spacing of the points of a range."""
    count: Whole | None = None
    """Number of points of a range in a grid."""
    coupled: dict[Name, FormulaText] = Field(default_factory=dict, alias="with")
    """Formulas of numbers that follow this one, by their paths, such as `2 * clusters`; SI."""

    @model_validator(mode="after")
    def _values_or_range(self) -> SweptAxis:
        ranged = self.low is not None or self.high is not None
        if ranged == (self.values is not None):
            raise ValueError("give either values, or low and high")
        if ranged and (self.low is None or self.high is None):
            raise ValueError("a range needs low and high")
        return self


class Workload(Part):
    """One shape of requests, and the numbers of users that are served."""

    isl: Whole
    """Prompt length, in tokens."""
    osl: Whole
    """Answer length, in tokens."""
    users: tuple[Users, ...] = Field(min_length=1, max_length=1000)
    """Numbers of concurrent users."""


Bound = Annotated[float, Field(strict=True)]


class Limit(Part):
    """Bounds that a metric must keep."""

    min: Bound | None = None
    """Lowest value that is accepted, in the unit of the metric."""
    max: Bound | None = None
    """Highest value that is accepted, in the unit of the metric."""

    @model_validator(mode="after")
    def _some_bound(self) -> Limit:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        return self


class Serving(Part):
    """Which points are served, request by request, and with what load."""

    slack: Annotated[float, Field(ge=1.0, le=100.0, strict=True)] = 1.25
    """Factor by which the estimates of a point may miss the limits for the point to be served all the same."""
    requests_per_user: Whole = 3
    """Number of requests of each user."""
    arrival: Literal["closed", "burst"] = "closed"
    """Whether each user sends the next request after an answer (`closed`) or all are sent at once (`burst`)."""


class SweepSpec(Part):
    """A sweep over the numbers of an architecture and its runtime."""

    name: Name
    """Name of the sweep, as shown in its report."""
    arch: Name
    """Architecture, by name or path."""
    models: tuple[Name, ...] = Field(min_length=1)
    """Models, by name or path."""
    precisions: tuple[Name, ...] = ("bf16",)
    """Precision schemes of the layers."""
    cards: tuple[Whole, ...] = ()
    """Numbers of cards, the architecture's usual ones if omitted."""
    plans: tuple[Name, ...] = ()
    """Parallel plans such as tp4-pp2, or files of degrees, in place of `cards`."""
    runtimes: tuple[Name, ...] = ()
    """Runtimes, by name or path, the architecture's own if omitted."""
    software: tuple[State, ...] = ()
    """States of the software (`as-labs-ran`, `tuned`, `open`), what is usual for the architecture if omitted."""
    workloads: tuple[Workload, ...] = Field(min_length=1)
    """Loads under which each design is judged."""
    vary: dict[str, SweptAxis] = Field(default_factory=dict)
    """Axes by the dotted path of a number or a word of the architecture (chip., card., server.) or of its runtime
    (runtime.)."""
    tables: dict[Name, tuple[dict[str, Any], ...]] = Field(default_factory=dict)
    """Axes of joint values, by a name of their own: rows of values by path, the same paths in each."""
    method: Literal["grid", "latin-hypercube", "sobol", "random"] = "grid"
    """How designs are placed on the axes."""
    points: Whole | None = None
    """Number of designs to draw; left out for a grid, which has as many as its axes and tables span."""
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    """Seed of the draw, a whole number."""
    limits: dict[str, Limit] = Field(default_factory=dict)
    """Limits by metric; a design beyond one is not feasible."""
    constraints: tuple[FormulaText, ...] = ()
    """Conditions on numbers and metrics, such as `power_w <= 0.9 * chip.power.cap`, that a feasible design keeps; in
    SI and the metrics' units."""
    engine: Literal["analytic", "event"] = "analytic"
    """Whether the two steps of an estimate are costed by closed forms, or simulated event by event."""
    bounds: bool = True
    """Whether each point is told with its bound, which takes as many costings as there are resources."""
    objectives: dict[str, Goal] = Field(min_length=1)
    """Whether each metric is to be as low (`min`) or as high (`max`) as possible."""
    serving: Serving | None = None
    """Simulated serving of the best estimated points; none if omitted."""

    @model_validator(mode="after")
    def _something_is_varied(self) -> SweepSpec:
        if not self.vary and not self.tables:
            raise ValueError("vary: nothing is varied; give vary, tables or both")
        for name, rows in self.tables.items():
            paths = [list(row) for row in rows]
            if not rows or not paths[0] or any(sorted(each) != sorted(paths[0]) for each in paths):
                raise ValueError(f"tables.{name}: needs rows, and the same paths in each")
        told = [*self.vary, *(path for axis in self.vary.values() for path in axis.coupled)]
        told += [path for rows in self.tables.values() for path in rows[0]]
        twice = next((path for path in told if told.count(path) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is given twice; give it in vary, in a table or as a formula")
        return self

    @model_validator(mode="after")
    def _constraints_compare(self) -> SweepSpec:
        for text in self.constraints:
            formula = parse(text)
            if not formula.is_condition:
                raise ValueError(f"constraints: '{text}' compares nothing; write e.g. {text} <= 1")
            served = next((name for name in formula.names if name.startswith(SERVED_PREFIX)), None)
            if served is not None and self.serving is None:
                raise ValueError(f"constraints: {served} is measured on served points only; add serving: {{}}")
        return self

    @model_validator(mode="after")
    def _method_has_its_numbers(self) -> SweepSpec:
        if self.method == "grid":
            if self.points is not None:
                raise ValueError("points: a grid has as many points as its axes span; leave points out")
            bare = [path for path, axis in self.vary.items() if axis.values is None and axis.count is None]
            if bare:
                raise ValueError(f"vary.{bare[0]}: a range in a grid needs count")
        elif self.points is None:
            raise ValueError(f"{self.method} needs points: the number of designs to draw")
        return self

    @model_validator(mode="after")
    def _points_can_be_held(self) -> SweepSpec:
        studies = math.prod(max(1, len(each)) for each in self._listed)
        settings = studies * max(1, len(self.cards), len(self.plans))
        if self.designs * settings > MOST:
            raise ValueError(f"points: {self.designs:,} designs under {settings:,} settings are more than {MOST:,}")
        return self

    @property
    def _listed(self) -> tuple[tuple[object, ...], ...]:
        """What every point is taken under in turn, beside cards and plans."""
        return self.models, self.precisions, self.runtimes, self.software, self.workloads

    @model_validator(mode="after")
    def _cards_or_plans(self) -> SweepSpec:
        if self.cards and self.plans:
            raise ValueError("plans: a plan has its own number of cards; give either cards or plans")
        return self

    @model_validator(mode="after")
    def _metrics_are_known(self) -> SweepSpec:
        for key, names in (("limits", self.limits), ("objectives", self.objectives)):
            for name in names:
                if name not in OPTIMIZED:
                    raise ValueError(f"{key}.{name}: no such metric; known: {', '.join(OPTIMIZED)}")
                if name.startswith(SERVED_PREFIX) and self.serving is None:
                    raise ValueError(f"{key}.{name}: is measured on served points only; add serving: {{}}")
        return self

    @property
    def designs(self) -> int:
        """Number of designs."""
        if self.points is not None:
            return self.points
        own = math.prod(len(axis.values) if axis.values else axis.count or 1 for axis in self.vary.values())
        return own * math.prod(len(rows) for rows in self.tables.values())


def load_spec(path: Path) -> SweepSpec:
    """The sweep in that YAML file. Raises UserError."""
    return load_yaml(path, SweepSpec)
