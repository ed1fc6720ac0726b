"""The rules of a test procedure as a file: limits, guard bands, repeats, durations, conditions, grid.

npusim ships its own (`rules/`), since K-Perf's procedure is not public; any file with these keys takes their place.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.lab.certify.told_of import CONDITIONS
from npusim.lab.environment import ENVIRONMENT
from npusim.ledger import Count, Duration, Few, Fraction, Positive, Quantity, Ratio
from npusim.metric_names import metric
from npusim.workload.grid import grid_path


def _known_metric(name: str) -> str:
    if metric(name) is None:
        raise ValueError(f"'{name}' is no figure of npusim; use one such as output_tokens_per_s, ttft_ms or power_w")
    return name


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"'{name}' is not known; {f'did you mean {near[0]}?' if near else ', '.join(known)}")
        return name

    return AfterValidator(check)


def _known_grid(name: str) -> str:
    try:
        grid_path(name)
    except UserError as mistake:
        raise ValueError(mistake.message) from mistake
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]
"""A figure (`ttft_ms_p99`), or a quantity for its mean and all percentiles (`ttft_ms`)."""


class Acceptance(Part):
    """How a measured figure must stand to the declared one; exactly one of both limits."""

    metric: MetricName
    """Figure, or quantity for its mean and all percentiles."""
    at_least: Positive | None = None
    """Least ratio of the measured to the declared figure."""
    at_most: Positive | None = None
    """Highest ratio of the measured to the declared figure."""

    @model_validator(mode="after")
    def _one_limit(self) -> Acceptance:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        return self

    @property
    def limit(self) -> Quantity:
        """The limit that is given."""
        limit = self.at_most if self.at_least is None else self.at_least
        assert limit is not None
        return limit


class Instrument(Part):
    """What an instrument adds to the uncertainty of a figure, beside its repeats."""

    metric: MetricName
    """Figure, or quantity for its mean and all percentiles."""
    relative: Ratio
    """Ratio of the standard uncertainty of the instrument to the figure."""


class Uncertainty(Part):
    """How an expanded uncertainty is made, which is the guard band too."""

    coverage_factor: Positive
    """Coverage factor k for many repeats; for few, that of Student's distribution with the same coverage."""
    instruments: tuple[Instrument, ...]
    """Instruments by figure; a submission may state its own."""


class SpreadLimit(Part):
    """How far the repeats of a cell may lie apart."""

    metric: MetricName
    """Figure, or quantity for its mean and all percentiles."""
    most: Fraction
    """Highest ratio of the standard deviation to the mean of the repeats, 0 to 1."""


class Repeats(Part):
    """How often each cell is measured."""

    runs: Few
    """Number of runs of each cell, at least."""
    spread: tuple[SpreadLimit, ...] = ()
    """Limits of the spread by figure."""


class Requests(Part):
    """Requests of a run."""

    per_user: Count
    """Number of completed requests of each user, at least."""
    failed: Fraction
    """Part of the requests that may fail, 0 to 1."""


class Rules(Part):
    """A test procedure."""

    name: str
    """Name under which the rules are looked up and shown."""
    title: str
    """Title as shown in reports."""
    source: str
    """Document that prescribes the procedure."""
    acceptance: tuple[Acceptance, ...] = Field(min_length=1)
    """Limits of measured figures relative to declared ones."""
    uncertainty: Uncertainty
    """How the guard band is made."""
    repeats: Repeats
    """How often each cell is measured."""
    duration: Duration
    """Shortest time of a run, in seconds."""
    requests: Requests
    """Requests of a run."""
    conditions: tuple[Annotated[str, _one_of(CONDITIONS)], ...] = ()
    """Conditions of a run that must be told."""
    environment: tuple[Annotated[str, _one_of(ENVIRONMENT)], ...] = ()
    """What must be told of the machine and its surroundings."""
    grid: Annotated[str, AfterValidator(_known_grid)] | None = None
    """Grid that the cells must belong to, by name or path."""

    @model_validator(mode="after")
    def _instruments_known(self) -> Rules:
        told = tuple(each.metric for each in self.uncertainty.instruments)
        for each in self.acceptance:
            if row_for(each.metric, told) is None:
                raise ValueError(f"uncertainty.instruments says nothing of {each.metric}, which acceptance needs")
        return self


def row_for(name: str, metrics: tuple[str, ...]) -> int | None:
    """The place of a figure among rows of rules: its own row, else that of its quantity."""
    if name in metrics:
        return metrics.index(name)
    row = metric(name)
    return metrics.index(row.quantity) if row is not None and row.quantity in metrics else None


def load_rules(name_or_path: str) -> Rules:
    """The rules of that shipped name, or of a YAML file. Raises UserError."""
    return load_yaml(rules_path(name_or_path), Rules)


def rules_path(name_or_path: str) -> Path:
    """The file of the rules of that shipped name or path. Raises UserError with the nearest name."""
    shipped = shipped_rules()
    if name_or_path in shipped:
        return shipped[name_or_path]
    own = Path(name_or_path).expanduser()
    if own.suffix in {".yaml", ".yml"} or own.parent != Path("."):
        return own
    near = difflib.get_close_matches(name_or_path, shipped, n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"shipped: {', '.join(shipped)}"
    raise UserError("--rules", "", f"unknown rules '{name_or_path}'; {mend} Or give the path of a YAML file")


@cache
def shipped_rules() -> dict[str, Path]:
    """Files of shipped rules of certification by name."""
    return {path.stem: path for path in sorted(data_root("rules").glob("*.yaml"))}
