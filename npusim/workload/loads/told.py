"""What a load tells beside single numbers, with its provenance: lengths of prompts and answers, a day's course."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.workload.lengths import Lengths, parse_lengths

_Kind = Literal["measured", "datasheet", "derived", "calibrated", "assumed"]
_Written = Annotated[int, Field(strict=True)] | str
HOURS = 24
"""Of a day."""
_LEAST_SWING = 1e-6
"""Of the busiest hour: below it the next session waits for more than the clock resolves."""


def read_lengths(written: str | int, key: str) -> Lengths:
    """Lengths as `--isl` takes them. Raises ValueError, which names `key` where it is not that of the field itself."""
    try:
        return parse_lengths(written, key)
    except UserError as mistake:
        raise ValueError(mistake.message) from mistake


class ToldLengths(Part):
    """How many tokens something has."""

    value: _Written
    """Tokens, also spread as `--isl` of `npusim run` takes them (1024±20%, uniform:512-2048,
    lognormal:mean=1024,cv=0.6)."""
    kind: _Kind
    """How it was got: measured, datasheet, derived, calibrated or assumed."""
    source: str = Field(min_length=1)
    """Where it is from."""
    low: _Written | None = None
    """The same at the low end of the range in which the truth is believed to lie; needed where it is assumed."""
    high: _Written | None = None
    """The same at the high end of that range."""

    @field_validator("value", "low", "high")
    @classmethod
    def _is_length(cls, written: int | str | None) -> int | str | None:
        return None if written is None else read_lengths(written, "").text

    @model_validator(mode="after")
    def _has_range(self) -> ToldLengths:
        if self.kind == "assumed" and (self.low is None or self.high is None):
            raise ValueError("assumed lengths need low and high")
        ends = [read_lengths(each, "").stated for each in (self.low, self.value, self.high) if each is not None]
        if ends != sorted(ends):
            raise ValueError(f"the range {self.low} ... {self.high} does not hold {self.value}")
        return self

    @property
    def lengths(self) -> Lengths:
        """The lengths that are drawn."""
        return read_lengths(self.value, "")


class HourlyRates(Part):
    """Rates at 0, 1 ... 23 o'clock relative to each other; between two of them the rate goes in a straight line."""

    value: tuple[float, ...] = Field(min_length=HOURS, max_length=HOURS)
    """The 24 rates."""
    kind: _Kind
    """How they were got: measured, datasheet, derived, calibrated or assumed."""
    source: str = Field(min_length=1)
    """Where they are from."""
    low: tuple[float, ...] | None = Field(default=None, min_length=HOURS, max_length=HOURS)
    """The low ends of the ranges in which they are believed to lie; needed where they are assumed."""
    high: tuple[float, ...] | None = Field(default=None, min_length=HOURS, max_length=HOURS)
    """The high ends of these ranges."""

    @field_validator("value")
    @classmethod
    def _can_be_rates(cls, hourly: tuple[float, ...]) -> tuple[float, ...]:
        if min(hourly) < 0.0 or max(hourly) == 0.0:
            raise ValueError("the hours' rates must be zero or more, and one of them more than zero")
        tiny = [each for each in hourly if 0.0 < each < _LEAST_SWING * max(hourly)]
        if tiny:
            raise ValueError(f"{tiny[0]:g} is less than a millionth of the busiest hour; write 0")
        return hourly

    @model_validator(mode="after")
    def _has_range(self) -> HourlyRates:
        if self.kind == "assumed" and (self.low is None or self.high is None):
            raise ValueError("assumed rates need low and high, 24 each")
        for hour, rate in enumerate(self.value):
            least, most = (rate if ends is None else ends[hour] for ends in (self.low, self.high))
            if not 0.0 <= least <= rate <= most:
                raise ValueError(f"the range at {hour} o'clock, {least:g} ... {most:g}, does not hold {rate:g}")
        return self


class DayCourse(Part):
    """How the rate of sessions goes over a day, which repeats."""

    hourly: HourlyRates
    """Rates of the hours."""
    begins_at: float = Field(default=0.0, ge=0.0, lt=HOURS)
    """Hour of the day at which the first session comes."""

    @model_validator(mode="after")
    def _begins_with_a_session(self) -> DayCourse:
        rates, hour = self.hourly.value, int(self.begins_at)
        if rates[hour] + (rates[(hour + 1) % HOURS] - rates[hour]) * (self.begins_at - hour) == 0.0:
            raise ValueError(f"begins_at: no session comes at {self.begins_at:g} o'clock; begin at another hour")
        return self
