"""The provenance of a physical number: value, unit, kind, source and range, and how to find them all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo

from npusim.units import plain_number, readable, to_si, unit_shown

_Kind = Literal["measured", "datasheet", "derived", "calibrated", "assumed"]
KINDS: tuple[str, ...] = get_args(_Kind)
"""How a number can have been got, from the firmest to the weakest."""


class Quantity(BaseModel):
    """One physical number with its provenance.

    value, low, high: in the SI unit `unit`; kind: how the number was got; source: where; text: as written.
    A number of kind `assumed` carries the range in which the truth is believed to lie (90 %).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str
    kind: _Kind
    source: str
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    date: str | None = None
    text: str

    @property
    def is_assumed(self) -> bool:
        return self.kind == "assumed"


def value_text(number: Mapping[str, Any]) -> str:
    """The value of a provenance's fields in the unit in which people read it."""
    return readable(number["value"], number["unit"], number["text"])


def range_text(number: Mapping[str, Any]) -> str:
    """low to high of a provenance's fields, in the unit in which its value is read ("-" without a range)."""
    if number["low"] is None or number["high"] is None:
        return "-"
    name, factor = unit_shown(number["value"], number["unit"], number["text"])
    low, high = (plain_number(number[end] / factor) for end in ("low", "high"))
    return f"{low} to {high} {name}".strip()


_SPANS = {
    "": (1e-9, 1e9), "bit": (1e-3, 1e4), "B": (1e-3, 1e18), "B/s": (1.0, 1e18), "B/cycle": (1e-6, 1e9),
    "cycle": (1e-6, 1e9), "cycle/s": (1.0, 1e15), "s": (1e-18, 1e4), "W": (1e-9, 1e9), "J/B": (1e-18, 1.0),
    "J/op": (1e-18, 1.0), "token": (1.0, 1e9), "J": (1e-3, 1e9), "degC": (1e-3, 300.0), "K/W": (1e-6, 1e4),
    "J/K": (1e-6, 1e7), "op/s": (1.0, 1e21), "packet/s": (1.0, 1e15),
}  # fmt: skip
"""Per SI unit the smallest and the largest number that a chip, a memory or a runtime can have: beyond them a unit was
mistaken, and formulas leave what floating point holds."""


@dataclass(frozen=True)
class Domain:
    """What a physical number may be, in its SI unit.

    least, most: its smallest and largest value, by default those of `_SPANS`; zero: whether it may be zero as well;
    whole: whether it counts things.
    """

    unit: str
    zero: bool = False
    least: float | None = None
    most: float | None = None
    whole: bool = False

    def parse(self, raw: Any) -> Any:
        """The fields of a Quantity from a provenance as a file gives it. Raises ValueError with the mend."""
        if isinstance(raw, Quantity):
            return raw
        if not isinstance(raw, dict):
            raise ValueError(
                "a bare number has no provenance; write "
                "{value: ..., kind: measured|datasheet|derived|calibrated|assumed, source: ...}"
            )
        rest = next((key for key in raw if key[:1].isdigit() and raw[key] is None), None)
        if rest is not None:
            raise ValueError(f"'{raw.get('value')},{rest}' has a decimal comma; write a decimal point")
        missing = [key for key in ("value", "kind", "source") if raw.get(key) is None]
        if missing:
            raise ValueError(f"the provenance lacks {', '.join(missing)}")
        numbers = {
            key: to_si(raw[key], self.unit) for key in ("value", "low", "high", "sd") if raw.get(key) is not None
        }
        self.check(numbers, raw)
        if not str(raw["source"]).strip():
            raise ValueError("the source is empty; name a document or a measurement")
        if raw["kind"] == "assumed" and not {"low", "high"} <= numbers.keys():
            raise ValueError("an assumed number needs low and high")
        return {**raw, **numbers, "unit": self.unit, "text": str(raw["value"])}

    def check(self, numbers: Mapping[str, float], raw: Mapping[str, Any]) -> None:
        """Raises ValueError where value, low, high or sd lie outside, or the range does not hold the value.

        numbers: in the SI unit; raw: as they are written.
        """
        value = numbers["value"]
        if not math.isfinite(value) or value < 0 or (value == 0 and not self.zero):
            raise ValueError(f"'{raw['value']}' must be {'zero or more' if self.zero else 'more than zero'}")
        self._inside(value, raw["value"])
        if numbers.get("low", 0.0) < 0.0:
            raise ValueError(f"the range begins below zero, at {raw['low']}")
        for key in ("low", "high"):
            if numbers.get(key):
                self._inside(numbers[key], raw[key])
        if not numbers.get("low", value) <= value <= numbers.get("high", value):
            raise ValueError(f"the range {raw.get('low')} ... {raw.get('high')} does not hold the value {raw['value']}")
        if not 0.0 <= numbers.get("sd", 0.0) <= self.ends()[1]:
            raise ValueError(f"sd {raw['sd']} is no standard deviation; give zero or more")

    def _inside(self, value: float, written: Any) -> None:
        """Raises ValueError for a number above zero that is none of this kind."""
        least, most = self.ends()
        if value and not least <= value <= most:
            unit = f" {self.unit}" if self.unit else ""
            bound = f"at most {most:g}" if value > most else f"at least {least:g}"
            raise ValueError(f"'{written}' is out of range: {bound}{unit}")
        if self.whole and value != round(value):
            raise ValueError(f"'{written}' must be a whole number")

    def ends(self) -> tuple[float, float]:
        """Smallest and largest value above zero, in the SI unit."""
        least, most = _SPANS[self.unit]
        return (least if self.least is None else self.least), (most if self.most is None else self.most)


def in_unit(unit: str, **limits: Any) -> BeforeValidator:
    """The numbers of a Domain of that unit."""
    return BeforeValidator(Domain(unit, **limits).parse)


Count = Annotated[Quantity, in_unit("", least=1.0, most=1e7, whole=True)]
Few = Annotated[Quantity, in_unit("", least=1.0, most=4096.0, whole=True)]
"""A count of things that are followed one by one: chips, ranks, banks, channels, transfers."""
FewOrZero = Annotated[Quantity, in_unit("", most=4096.0, whole=True, zero=True)]
Positive = Annotated[Quantity, in_unit("")]
Stretch = Annotated[Quantity, in_unit("", least=1.0)]
"""A factor of 1 or more."""
Ratio = Annotated[Quantity, in_unit("", zero=True)]
Fraction = Annotated[Quantity, in_unit("", zero=True, most=1.0)]
"""A part of a whole: 0 to 1."""
Efficiency = Annotated[Quantity, in_unit("", most=1.0)]
"""What is reached of a peak: more than 0, at most 1."""
Bytes = Annotated[Quantity, in_unit("B")]
BytesOrZero = Annotated[Quantity, in_unit("B", zero=True)]
Bandwidth = Annotated[Quantity, in_unit("B/s")]
BytesPerCycle = Annotated[Quantity, in_unit("B/cycle")]
Cycles = Annotated[Quantity, in_unit("cycle")]
CyclesOrZero = Annotated[Quantity, in_unit("cycle", zero=True)]
Frequency = Annotated[Quantity, in_unit("cycle/s")]
Duration = Annotated[Quantity, in_unit("s", zero=True)]
Power = Annotated[Quantity, in_unit("W")]
PowerOrZero = Annotated[Quantity, in_unit("W", zero=True)]
Energy = Annotated[Quantity, in_unit("J")]
Temperature = Annotated[Quantity, in_unit("degC", zero=True)]
ThermalResistance = Annotated[Quantity, in_unit("K/W")]
HeatCapacity = Annotated[Quantity, in_unit("J/K")]
EnergyPerByte = Annotated[Quantity, in_unit("J/B", zero=True)]
EnergyPerOp = Annotated[Quantity, in_unit("J/op", zero=True)]
OpsPerSecond = Annotated[Quantity, in_unit("op/s")]
PacketsPerSecond = Annotated[Quantity, in_unit("packet/s")]
Bits = Annotated[Quantity, in_unit("bit")]
Tokens = Annotated[Quantity, in_unit("token", whole=True)]


@dataclass(frozen=True)
class Provenance:
    """A quantity, the dotted path at which a description holds it, and what it may be (None: not told)."""

    owner: str
    path: str
    quantity: Quantity
    domain: Domain | None = None


def provenances(owner: str, description: BaseModel, prefix: str = "") -> Iterator[Provenance]:
    """Every quantity of a description, in the order in which it is written."""
    for name, field in type(description).model_fields.items():
        yield from _walk(owner, getattr(description, name), f"{prefix}{name}", field)


def _walk(owner: str, value: object, path: str, field: FieldInfo) -> Iterator[Provenance]:
    if isinstance(value, Quantity):
        yield Provenance(owner, path, value, domain_of(field))
    elif isinstance(value, BaseModel):
        yield from provenances(owner, value, f"{path}.")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            label = getattr(item, "name", index)
            yield from _walk(owner, item, f"{path}.{label}", field)


def domain_of(field: FieldInfo) -> Domain | None:
    """What numbers a field of a model takes; None where it holds no quantity."""
    marks = [*field.metadata, *(mark for inner in get_args(field.annotation) for mark in get_args(inner)[1:])]
    found = (getattr(mark.func, "__self__", None) for mark in marks if isinstance(mark, BeforeValidator))
    return next((each for each in found if isinstance(each, Domain)), None)
