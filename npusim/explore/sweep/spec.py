"""What a sweep varies, under which workloads, within which limits and for which objectives, as its YAML gives it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from npusim.hardware.base import MOST, Part, Whole
from npusim.hardware.yaml_file import load_yaml
from npusim.metric_row import Shown
from npusim.metrics import ESTIMATES, shown

Name = Annotated[str, Field(min_length=1)]
Goal = Literal["min", "max"]

ESTIMATED = tuple(row.name for row in ESTIMATES)
SERVED = tuple(row.name for row in shown(Shown.FOLDED))
SERVED_PREFIX = "served_"
METRICS = (*ESTIMATED, *(f"{SERVED_PREFIX}{name}" for name in SERVED))


class Axis(Part):
    """What one number of the description takes: listed `values`, or a range from `low` to `high`.

    scale: linear or log spacing of a range; count: steps of a range in a grid.
    """

    values: tuple[str | float | int, ...] | None = Field(default=None, min_length=1, max_length=10_000)
    low: str | float | int | None = None
    high: str | float | int | None = None
    scale: Literal["linear", "log"] = "linear"
    count: Whole | None = None

    @model_validator(mode="after")
    def _values_or_range(self) -> Axis:
        ranged = self.low is not None or self.high is not None
        if ranged == (self.values is not None):
            raise ValueError("give either values, or low and high")
        if ranged and (self.low is None or self.high is None):
            raise ValueError("a range needs low and high")
        return self


class Workload(Part):
    """Prompt and answer length in tokens, and the numbers of users that are served."""

    isl: Whole
    osl: Whole
    users: tuple[Whole, ...] = Field(min_length=1)


Bound = Annotated[float, Field(strict=True)]


class Limit(Part):
    """Bounds that a metric must keep."""

    min: Bound | None = None
    max: Bound | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Limit:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        return self


class Serving(Part):
    """Whether points are served, request by request: those whose estimates keep the limits within `slack`."""

    slack: Annotated[float, Field(ge=1.0, le=100.0, strict=True)] = 1.25
    requests_per_user: Whole = 3
    arrival: Literal["closed", "burst"] = "closed"


class SweepSpec(Part):
    """A sweep.

    plans: parallel plans (tp4-pp2, or a file of degrees) in place of cards; vary: axes by the dotted path of a number
    of the architecture (chip., card., server.) or of its runtime (runtime.); points: designs drawn by latin-hypercube
    or sobol; a grid has as many as its axes span.
    """

    name: Name
    arch: Name
    models: tuple[Name, ...] = Field(min_length=1)
    precisions: tuple[Name, ...] = ("bf16",)
    cards: tuple[Whole, ...] = ()
    plans: tuple[Name, ...] = ()
    runtimes: tuple[Name, ...] = ()
    workloads: tuple[Workload, ...] = Field(min_length=1)
    vary: dict[str, Axis] = Field(min_length=1)
    method: Literal["grid", "latin-hypercube", "sobol"] = "grid"
    points: Whole | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    limits: dict[str, Limit] = Field(default_factory=dict)
    objectives: dict[str, Goal] = Field(min_length=1)
    serving: Serving | None = None

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
        studies = math.prod(max(1, len(each)) for each in (self.models, self.precisions, self.runtimes, self.workloads))
        settings = studies * max(1, len(self.cards), len(self.plans))
        if self.designs * settings > MOST:
            raise ValueError(f"points: {self.designs:,} designs under {settings:,} settings are more than {MOST:,}")
        return self

    @model_validator(mode="after")
    def _cards_or_plans(self) -> SweepSpec:
        if self.cards and self.plans:
            raise ValueError("plans: a plan has its own number of cards; give either cards or plans")
        return self

    @model_validator(mode="after")
    def _metrics_are_known(self) -> SweepSpec:
        for key, names in (("limits", self.limits), ("objectives", self.objectives)):
            for name in names:
                if name not in METRICS:
                    raise ValueError(f"{key}.{name}: no such metric; known: {', '.join(METRICS)}")
                if name.startswith(SERVED_PREFIX) and self.serving is None:
                    raise ValueError(f"{key}.{name}: is measured on served points only; add serving: {{}}")
        return self

    @property
    def designs(self) -> int:
        """Number of designs."""
        if self.points is not None:
            return self.points
        return math.prod(len(axis.values) if axis.values else axis.count or 1 for axis in self.vary.values())


def load_spec(path: Path) -> SweepSpec:
    """The sweep in that YAML file. Raises UserError."""
    return load_yaml(path, SweepSpec)
