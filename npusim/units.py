"""Text with a unit ("48 GiB", "1.5 TB/s") becomes an SI float here, at the boundary, and nowhere else.

A registry of the units that chip descriptions use, not pint's whole list: a misspelt or exotic unit is an error
rather than a surprise. Bytes, tokens and cycles are dimensions of their own, so "GHz" never passes for "GB/s"; so are
degrees Celsius, whose differences are in kelvin.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

MS_PER_S, US_PER_S, NS_PER_S = 1e3, 1e6, 1e9
"""Milliseconds, microseconds and nanoseconds of a second."""
S_PER_HOUR = 3600.0
"""Seconds of an hour."""
W_PER_KW = 1e3
"""Watts of a kilowatt."""
GB, KIB, MIB, GIB = 1e9, 2.0**10, 2.0**20, 2.0**30
"""Bytes of a unit in which sizes are shown."""

_DEFINITIONS = """
kilo- = 1e3 = k-
mega- = 1e6 = M-
giga- = 1e9 = G-
tera- = 1e12 = T-
peta- = 1e15 = P-
milli- = 1e-3 = m-
micro- = 1e-6 = u- = µ-
nano- = 1e-9 = n-
pico- = 1e-12 = p-
kibi- = 1024 = Ki-
mebi- = 1048576 = Mi-
gibi- = 1073741824 = Gi-
tebi- = 1099511627776 = Ti-
byte = [information] = B
bit = byte / 8
second = [time] = s
minute = 60 * second = min
joule = [energy] = J
watt = joule / second = W
watthour = 3600 * joule = Wh
kelvin = [temperature] = K
celsius = [celsius_temperature] = degC
meter = [length] = m
token = [token]
cycle = [cycle]
hertz = cycle / second = Hz
op = [operation]
packet = [packet]
percent = 0.01 = %
"""

_LONGEST = 60
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)"
_NUMBER = re.compile(rf"^\s*([+-]?(?:{_DIGITS}(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\d.,_])\s*(.*?)\s*$", re.ASCII)
_UNIT = re.compile(r"^[A-Za-zµ%]+(\s*/\s*[A-Za-zµ%]+)?$")
_HERTZ = re.compile(r"^([kmgt]?)hz$", re.IGNORECASE)
_PER_PIN = re.compile(r"^([kMGT]?)b(?:it)?\s*/\s*s\s*(?:/|per)\s*pin$")
_OPERATIONS = re.compile(r"^([kMGTP]?)S?OPS$")
_KILOBYTES = re.compile(r"^KB(\s*/.*)?$")


def _spelt(unit: str) -> str:
    """A unit in npusim's spelling: hertz in any case (never millihertz), KB for kB, Gb/s per pin for Gbit/s,
    TOPS and GSOPS (synaptic operations) for Top/s and Gop/s.

    Without "per pin" Gb/s stays unknown: it is too often meant as GB/s.
    """
    if hertz := _HERTZ.match(unit):
        prefix = hertz.group(1)
        return f"{prefix.lower() if prefix in 'kK' else prefix.upper()}Hz"
    if pin := _PER_PIN.match(unit):
        return f"{pin.group(1)}bit/s"
    if operations := _OPERATIONS.match(unit):
        return f"{operations.group(1)}op/s"
    return f"k{unit[1:]}" if _KILOBYTES.match(unit) else unit


COMMON = {
    ("KiB", "B"): 1024.0,
    ("MiB", "B"): 1048576.0,
    ("GiB", "B"): 1073741824.0,
    ("MB", "B"): 1e6,
    ("GB", "B"): 1e9,
    ("Mbit/s", "B/s"): 125e3,
    ("GB/s", "B/s"): 1e9,
    ("TB/s", "B/s"): 1e12,
    ("MHz", "cycle/s"): 1e6,
    ("GHz", "cycle/s"): 1e9,
    ("ms", "s"): 1e-3,
    ("us", "s"): 1e-6,
    ("ns", "s"): 1e-9,
    ("mW", "W"): 1e-3,
    ("kW", "W"): 1e3,
    ("pJ/B", "J/B"): 1e-12,
    ("pJ/op", "J/op"): 1e-12,
    ("nJ/op", "J/op"): 1e-9,
    ("Gop/s", "op/s"): 1e9,
    ("Top/s", "op/s"): 1e12,
    ("Pop/s", "op/s"): 1e15,
    ("Gpacket/s", "packet/s"): 1e9,
}
"""What pint says of the units that shipped descriptions use: importing it takes longer than reading them."""


@cache
def _registry() -> pint.UnitRegistry:
    import pint

    return pint.UnitRegistry(_DEFINITIONS.strip().splitlines())


def _factor(unit: str, wanted: str) -> float:
    if unit == wanted:
        return 1.0
    unit = _spelt(unit)
    return COMMON.get((unit, wanted)) or converted(unit, wanted)


@cache
def converted(unit: str, wanted: str) -> float:
    """One `unit` in the unit `wanted`, by pint. Raises ValueError."""
    import pint

    registry = _registry()
    if not _UNIT.match(unit):
        raise ValueError(f"unknown unit '{unit}'")
    try:
        return float(registry.Quantity(1.0, unit.replace("%", "percent")).to(wanted or "").magnitude)
    except pint.UndefinedUnitError as error:
        raise ValueError(f"unknown unit '{unit}'") from error
    except pint.DimensionalityError as error:
        raise ValueError(f"'{unit}' is not a unit of {wanted or 'a plain number'}") from error


def to_si(text: str | float | int, wanted: str) -> float:
    """The value of `text` in the SI unit `wanted` ("" for a plain number, e.g. "B/s", "s", "J/B").

    Raises ValueError with the mend: a missing unit where one is wanted, an unknown one, one of another dimension.
    """
    number, unit = number_and_unit(text)
    if wanted and not unit:
        raise ValueError(f"'{text}' has no unit; write it as e.g. '{text} {wanted}'")
    value = number * _factor(unit, wanted) if unit else number
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is larger than any number")
    return value


def number_and_unit(text: str | float | int) -> tuple[float, str]:
    """The number of a text and the unit behind it, "" without one. Raises ValueError."""
    if isinstance(text, bool) or not isinstance(text, str | float | int):
        raise ValueError(f"'{text}' is not a number with a unit")
    written = str(text)
    match = _NUMBER.match(written) if len(written) <= _LONGEST else None
    if match is None:
        raise ValueError(f"'{written[:_LONGEST]}' is not a number with a unit")
    return float(match.group(1).replace("_", "").replace(",", "")), match.group(2)


def written_like(text: str, value: float, unit: str) -> str:
    """`value` (in the SI unit `unit`) in the unit in which `text` is written: 5e-6 s like "8 us" is "5 us"."""
    shown = number_and_unit(text)[1] or unit
    return f"{value / (_factor(shown, unit) if shown else 1.0):,.4g} {shown}".strip()


_ENGINEERING = {
    "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9), ("ps", 1e-12)),
    "B/s": (("TB/s", 1e12), ("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)),
    "B": (("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1.0)),
    "cycle/s": (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3)),
    "J/B": (("nJ/B", 1e-9), ("pJ/B", 1e-12)),
    "J/op": (("nJ/op", 1e-9), ("pJ/op", 1e-12)),
    "op/s": (("Pop/s", 1e15), ("Top/s", 1e12), ("Gop/s", 1e9), ("Mop/s", 1e6)),
    "W": (("kW", 1e3), ("W", 1.0), ("mW", 1e-3)),
}
"""Per SI unit those in which people speak of numbers, the largest first."""
_PLAIN = 1e-3, 1e5
"""Between them a number is written without powers of ten."""
_LEAST_WRITTEN = 0.1
"""Part of the unit in which a number was written from which on it keeps it: 0.0114 s is read as 11.4 ms."""
_PLAIN_DIGITS = 1e4
_NEARLY = 0.5
"""A number of half a unit is told in that unit: 0.865 µs."""


def unit_shown(value: float, unit: str, like: str = "") -> tuple[str, float]:
    """The unit in which people read a number, and what one of it is worth in the SI unit `unit`.

    The one in which `like` is written, where that needs no power of ten; else the largest of which there is half a one.
    """
    written = number_and_unit(like)[1] if like else ""
    factor = _factor(written, unit) if written else 1.0
    if unit and written and (value == 0.0 or _LEAST_WRITTEN <= abs(value) / factor < _PLAIN[1]):
        return written.replace("us", "µs"), factor
    known = _ENGINEERING.get(unit, ((unit, 1.0),))
    return next((each for each in known if abs(value) >= _NEARLY * each[1]), known[-1] if value else (unit, 1.0))


def plain_number(value: float) -> str:
    """Four digits, or all before the point where these are more; powers of ten only where nothing else is read."""
    if abs(value) >= _PLAIN_DIGITS and value < 1 / _PLAIN[0] ** 4:
        return f"{value:,.0f}"
    return f"{value:,.4g}"


def readable(value: float, unit: str, like: str = "") -> str:
    """A number of the SI unit `unit` with the unit in which people read it: 8.65e-7 s is 0.865 µs."""
    name, factor = unit_shown(value, unit, like)
    return f"{plain_number(value / factor)} {name}".strip()


def is_binary_rate(text: str | float | int) -> bool:
    """True for a rate written in binary multiples ("4800 GiB/s"): datasheets give rates in decimal ones."""
    return isinstance(text, str) and re.search(r"[KMGT]iB\s*/\s*s", text) is not None
