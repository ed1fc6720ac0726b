"""The provenance of a physical number: value, unit, kind, source and range, and how to find them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from npusim.units import to_si

Kind = Literal["measured", "datasheet", "derived", "calibrated", "assumed"]


class Quantity(BaseModel):
    """One physical number with its provenance.

    value, low, high: in the SI unit `unit`; kind: how the number was got; source: where; text: as written.
    A number of kind `assumed` carries the range in which the truth is believed to lie (90 %).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str
    kind: Kind
    source: str
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    date: str | None = None
    text: str

    @property
    def is_assumed(self) -> bool:
        return self.kind == "assumed"


def range_text(number: Mapping[str, Any]) -> str:
    """low to high of a provenance's fields, in the unit in which the value was written ("-" without a range)."""
    if number["low"] is None or number["high"] is None:
        return "-"
    written, _, unit = number["text"].strip().partition(" ")
    scale, value = 1.0, number["value"]
    if value and number["unit"]:
        scale = float(written.replace(",", "")) / value
    return f"{number['low'] * scale:,.6g} to {number['high'] * scale:,.6g} {unit}".strip()


def _parse(raw: Any, unit: str, zero_allowed: bool) -> Any:
    if isinstance(raw, Quantity):
        return raw
    if not isinstance(raw, dict):
        raise ValueError(
            "a bare number has no provenance; write {value: ..., kind: measured|datasheet|derived|assumed, source: ...}"
        )
    missing = [key for key in ("value", "kind", "source") if key not in raw]
    if missing:
        raise ValueError(f"the provenance lacks {', '.join(missing)}")
    fields = dict(raw)
    for key in ("value", "low", "high", "sd"):
        if fields.get(key) is not None:
            fields[key] = to_si(fields[key], unit)
    _check_range(fields, raw, zero_allowed)
    return fields | {"unit": unit, "text": str(raw["value"])}


def _check_range(fields: dict[str, Any], raw: dict[str, Any], zero_allowed: bool) -> None:
    value, low, high = fields["value"], fields.get("low"), fields.get("high")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero_allowed):
        raise ValueError(f"'{raw['value']}' must be {'zero or more' if zero_allowed else 'more than zero'}")
    if not str(raw["source"]).strip():
        raise ValueError("the source is empty; name a document or a measurement")
    if low is not None and low < 0:
        raise ValueError(f"the range begins below zero, at {raw['low']}")
    if raw["kind"] == "assumed" and (low is None or high is None):
        raise ValueError("an assumed number needs low and high")
    if (low is not None and low > value) or (high is not None and high < value):
        raise ValueError(f"the range {raw.get('low')} ... {raw.get('high')} does not hold the value {raw['value']}")


def in_unit(unit: str, zero_allowed: bool = False) -> BeforeValidator:
    parse: Callable[[Any], Any] = lambda raw: _parse(raw, unit, zero_allowed)  # noqa: E731
    return BeforeValidator(parse)


Count = Annotated[Quantity, in_unit("")]
Ratio = Annotated[Quantity, in_unit("", zero_allowed=True)]
Bytes = Annotated[Quantity, in_unit("B")]
BytesOrZero = Annotated[Quantity, in_unit("B", zero_allowed=True)]
Bandwidth = Annotated[Quantity, in_unit("B/s")]
BytesPerCycle = Annotated[Quantity, in_unit("B/cycle")]
Cycles = Annotated[Quantity, in_unit("cycle")]
CyclesOrZero = Annotated[Quantity, in_unit("cycle", zero_allowed=True)]
Frequency = Annotated[Quantity, in_unit("cycle/s")]
Duration = Annotated[Quantity, in_unit("s", zero_allowed=True)]
Power = Annotated[Quantity, in_unit("W")]
EnergyPerByte = Annotated[Quantity, in_unit("J/B", zero_allowed=True)]
EnergyPerOp = Annotated[Quantity, in_unit("J/op", zero_allowed=True)]
Tokens = Annotated[Quantity, in_unit("token")]


@dataclass(frozen=True)
class Provenance:
    """A quantity and the dotted path at which a description holds it."""

    owner: str
    path: str
    quantity: Quantity


def provenances(owner: str, description: BaseModel, prefix: str = "") -> Iterator[Provenance]:
    """Every quantity of a description, in the order in which it is written."""
    for name in type(description).model_fields:
        yield from _walk(owner, getattr(description, name), f"{prefix}{name}")


def _walk(owner: str, value: object, path: str) -> Iterator[Provenance]:
    if isinstance(value, Quantity):
        yield Provenance(owner, path, value)
    elif isinstance(value, BaseModel):
        yield from provenances(owner, value, f"{path}.")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            label = getattr(item, "name", index)
            yield from _walk(owner, item, f"{path}.{label}")
