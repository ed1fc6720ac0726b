"""Units that are read in two ways, and slips between units that turn a possible figure into an impossible one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from npusim.metrics import metric as metric_of
from npusim.units import GB, GIB

_DATASHEET_DIGITS = 2
_ROUNDING = 1e-12
"""Part by which a rate may lie below a printed one in floating point."""


def in_decimal_units(byte_count: float) -> float:
    """A capacity of so many GiB read as so many GB (RNGD's 48 GB are 48 GiB; another maker's are not)."""
    return byte_count / GIB * GB


def as_datasheet(rate: float) -> float:
    """A rate with the digits that a datasheet prints, cut off: 1.536 TB/s is printed as 1.5 TB/s."""
    digit = 10.0 ** (math.floor(math.log10(rate)) - (_DATASHEET_DIGITS - 1))
    return math.floor(rate / digit * (1.0 + _ROUNDING)) * digit


@dataclass(frozen=True)
class Slip:
    """A slip: what a figure must be multiplied by to undo it, and how to say so."""

    factor: float
    told: str


_TIME_SLIPS = (
    Slip(1e3, "seconds were given as milliseconds"),
    Slip(1e-3, "microseconds were given as milliseconds"),
)
"""Slips of times."""
_RATE_SLIPS = (
    Slip(GB / GIB, "GB and GiB were confused"),
    Slip(0.5, "a peak with structured sparsity was counted (twice the dense one), or input and output together"),
    Slip(1.0 / 8.0, "bits were counted as bytes, or eight cards as one"),
    Slip(1e3, "thousands of tokens per second were given"),
    Slip(1.0 / 60.0, "tokens per minute were given"),
)
"""Slips of rates."""
_POWER_SLIPS = (
    Slip(1e-3, "milliwatts were given as watts"),
    Slip(1e3, "kilowatts were given as watts"),
    *(Slip(1.0 / cards, f"the watts of {cards} cards were given as those of one") for cards in (2, 4, 8)),
)
"""Slips of power."""


_SLIPS = {"ms": _TIME_SLIPS, "W": _POWER_SLIPS, "tokens/s": _RATE_SLIPS, "requests/s": _RATE_SLIPS}


def slips(name: str) -> tuple[Slip, ...]:
    """The usual slips of a metric, by its unit."""
    row = metric_of(name)
    return () if row is None else _SLIPS.get(row.unit, ())


def explained(metric: str, measured: float, low: float, high: float) -> str:
    """The slip after whose mending the figure would lie in low ... high, "" where none or the figure itself does."""
    if low <= measured <= high:
        return ""
    found = [slip.told for slip in slips(metric) if low <= measured * slip.factor <= high]
    return found[0] if found else ""
