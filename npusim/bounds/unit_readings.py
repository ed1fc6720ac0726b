"""Units that are read in two ways, and slips between units that turn a possible figure into an impossible one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from npusim.bounds.reading import LEAST
from npusim.metric_names import metric as metric_of
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


_CARDS_OF_WALL = (0.55, 0.85)
"""Part of a server's power at the wall that its cards take: eight of 700 W in a server of 10.2 kW (data sheet of DGX
H100), and cards whose host rests, behind a supply that keeps 94 %."""


def explained(metric: str, measured: float, low: float, high: float, resting_w: float = 0.0) -> str:
    """The slip after whose mending the figure would lie in low ... high, that nearest to their middle; "" where none or
    the figure itself does.

    resting_w: watts of the cards at rest, 0 where they are not known.
    """
    if low <= measured <= high:
        return ""
    row, middle = metric_of(metric), math.sqrt(max(low, LEAST) * max(high, LEAST))
    found = [(measured * slip.factor, slip.told) for slip in slips(metric)]
    if row is not None and row.unit == "W":
        found += [(measured + resting_w, f"the {resting_w:,.0f} W of the cards at rest were taken off")] * bool(
            resting_w
        )
        least, most = (part * measured for part in _CARDS_OF_WALL)
        found.append((min(max(middle, least), most), "the power of the server at the wall was given"))
    fits = [(abs(math.log(max(mended, LEAST) / middle)), told) for mended, told in found if low <= mended <= high]
    return min(fits, default=(0.0, ""))[1]
