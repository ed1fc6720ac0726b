"""A claimed scaling curve of collectives as its YAML gives it: rows of collective, bytes, cards and value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from npusim.explore.evaluate.claim import Amount, FilledText
from npusim.hardware.base import Part
from npusim.hardware.collectives import OPERATIONS, least_part
from npusim.units import to_si

CurveMetric = Literal["bus_bandwidth", "algorithm_bandwidth", "time"]
TIME = "time"
_MOST_POINTS = 400
_LEAST_CARDS, _MOST_CARDS = 2, 1024


class CurveBaseline(Part):
    """What a curve of ratios is to: the same collective but for what is given here, as its library is described."""

    architecture: str | None = None
    """Architecture whose fabric carries the baseline, the proposed one if omitted."""
    library: str | None = None
    """Library of collectives of the baseline, the first of its fabric if omitted."""
    algorithm: str | None = None
    """Only this algorithm in the baseline, the fastest if omitted."""
    cards: Annotated[int, Field(ge=_LEAST_CARDS, le=_MOST_CARDS, strict=True)] | None = None
    """Number of cards of the baseline, those of each point if omitted."""


class CurvePoint(Part):
    """One row of a curve."""

    collective: FilledText
    """Collective, such as all_reduce, all_gather, reduce_scatter or all_to_all; hyphens do too."""
    bytes: float
    """Size of the full vector (reduced, gathered, sent by a rank in an all-to-all), in bytes or with a unit (64MiB)."""
    cards: Annotated[int, Field(ge=_LEAST_CARDS, le=_MOST_CARDS, strict=True)]
    """Number of cards that take part, neighbours on the fabric."""
    value: Amount
    """Claimed value, in the unit of the curve, or as a ratio to the baseline."""

    @field_validator("collective")
    @classmethod
    def _is_known(cls, name: str) -> str:
        spelt = name.strip().lower().replace("-", "_")
        if spelt not in OPERATIONS:
            raise ValueError(f"'{name}' is no collective; use one of {', '.join(OPERATIONS)}")
        return spelt

    @field_validator("bytes", mode="before")
    @classmethod
    def _in_bytes(cls, given: Any) -> float:
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            raise ValueError(f"'{given}' is no size; give e.g. 8192 or 8MiB")
        size = to_si(given, "B") if isinstance(given, str) else float(given)
        if not 1.0 <= size <= 1e15:
            raise ValueError(f"'{given}' must be from 1 B to 1 PB")
        return size

    @property
    def operation(self) -> int:
        """Its code (`hardware.collectives`)."""
        return OPERATIONS.index(self.collective)


class CurveClaim(Part):
    """A claim of a curve, which holds where every one of its points does."""

    name: FilledText
    """Name of the curve, unique among all claims of its proposal."""
    text: FilledText
    """Claim in the proposer's own words."""
    metric: CurveMetric
    """What is claimed: `bus_bandwidth` (as nccl-tests defines it), `algorithm_bandwidth` (bytes over time), both at
    least the values, or `time`, at most."""
    unit: FilledText | None = None
    """Unit of the values (GB/s, us), none for ratios to a baseline."""
    source: FilledText
    """Where the values come from: a measurement, a simulation, a target."""
    library: str | None = None
    """Library of collectives of the fabric that carries it out; open from the fabric's first as it is described to one
    that costs no time if omitted."""
    algorithm: str | None = None
    """Only this algorithm, the fastest if omitted."""
    baseline: CurveBaseline | None = None
    """What values are ratios to: how many times better than the baseline a point is, none if omitted."""
    points: tuple[CurvePoint, ...] = Field(min_length=1, max_length=_MOST_POINTS)
    """Rows of the curve."""

    @model_validator(mode="after")
    def _unit_measures(self) -> CurveClaim:
        if self.baseline is not None:
            if self.unit is not None:
                raise ValueError("unit: values of a curve with a baseline are ratios; take the unit out")
            return self
        if self.unit is None:
            raise ValueError(f"unit: is missing; give that of the values, such as {self._example}")
        try:
            to_si(f"1 {self.unit}", self.si)
        except ValueError as error:
            raise ValueError(f"unit: '{self.unit}' does not measure {self.metric}; use e.g. {self._example}") from error
        return self

    @model_validator(mode="after")
    def _points_differ(self) -> CurveClaim:
        keys = [(each.collective, each.bytes, each.cards) for each in self.points]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"points: {twice[0]} of {twice[1]:,.15g} B on {twice[2]} cards is there twice")
        return self

    @property
    def _example(self) -> str:
        return "us" if self.metric == TIME else "GB/s"

    @property
    def si(self) -> str:
        """SI unit of its values."""
        return "s" if self.metric == TIME else "B/s"

    @property
    def wants_more(self) -> bool:
        """Whether a point holds from its value on, not up to it."""
        return self.metric != TIME or self.baseline is not None

    def moved(self, point: CurvePoint, ranks: int) -> float:
        """Bytes whose rate a bandwidth of this metric is, on `ranks` chips."""
        return point.bytes * (least_part(point.operation, ranks) if self.metric == "bus_bandwidth" else 1.0)

    def figure(self, seconds: float, point: CurvePoint, ranks: int) -> float:
        """The metric of a point that takes so long, in the unit of the curve."""
        factor = to_si(f"1 {self.unit}", self.si)
        return seconds / factor if self.metric == TIME else self.moved(point, ranks) / (seconds * factor)

    def seconds(self, value: float, point: CurvePoint, ranks: int) -> float:
        """The time of a point whose metric has that value, in the unit of the curve."""
        factor = to_si(f"1 {self.unit}", self.si)
        return value * factor if self.metric == TIME else self.moved(point, ranks) / (value * factor)
