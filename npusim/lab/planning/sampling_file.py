"""The numbers of a sampling plan as a file: spreads, the uncertainty that is wanted, times, the hidden part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.ledger import Duration, Efficiency, Few, Fraction, Positive
from npusim.metric_names import metric


def _estimated(name: str) -> str:
    row = metric(name)
    if row is None or row.follows is None or row.name != name:
        raise ValueError(f"'{name}' follows no estimate; use one such as output_tokens_per_s or ttft_ms_mean")
    return name


class PlannedFigure(Part):
    """A figure whose prediction the measurements are to improve."""

    metric: Annotated[str, AfterValidator(_estimated)]
    """Figure by npusim's name."""
    spread: Efficiency
    """Ratio of the standard deviation of one run to the mean, more than 0, at most 1."""


class Sampling(Part):
    """How cells of a grid are chosen."""

    name: str
    """Name of the file."""
    title: str
    """Title as shown in reports."""
    source: str
    """Document that prescribes the plan."""
    figures: tuple[PlannedFigure, ...] = Field(min_length=1)
    """Figures that count, the first one as that whose uncertainty is wanted."""
    uncertainty: Efficiency
    """Relative expanded uncertainty that the median of the first figure is to have."""
    coverage_factor: Positive
    """Coverage factor of that uncertainty."""
    runs: Few
    """Number of runs of each cell, at least."""
    duration: Duration
    """Shortest time of a run, in seconds."""
    setup: Duration
    """Time that a cell takes beside its runs, in seconds."""
    hidden: Fraction
    """Part of the budget for hidden cells, 0 to 1."""
    common: Fraction
    """Part of the unexplained variance that all cells share, 0 to 1."""


def load_sampling(path: Path | None) -> Sampling:
    """The plan of a file, by default that which npusim ships. Raises UserError."""
    return load_yaml(path or data_root("rules") / "sampling" / "npusim-1.yaml", Sampling)
