"""A printed figure as the interval of values that would be printed so: no bound may blame what rounding hides."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from npusim.inputs.numbers import decimal

LEAST = 1e-9
"""Takes the part of zero below a fraction line: less than any printed figure."""


@dataclass(frozen=True)
class Reading:
    """value, as printed; low, high: the ends of what rounds to it, in the same unit."""

    value: float
    low: float
    high: float

    @classmethod
    def printed(cls, text: str | int | float | Decimal, factor: float = 1.0) -> Reading:
        """A figure with half a unit of its last printed place either way, times `factor` into the wanted unit.

        Raises ValueError for what is not a finite number, or has a decimal comma.
        """
        number = decimal(text)
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        value, half = float(number), 0.5 * 10.0 ** min(exponent, 0)
        return cls(value * factor, (value - half) * factor, (value + half) * factor)

    @classmethod
    def exact(cls, value: float) -> Reading:
        """A figure that nothing was rounded off."""
        return cls(value, value, value)

    def times(self, factor: float) -> Reading:
        """The figure in another unit."""
        return Reading(self.value * factor, self.low * factor, self.high * factor)

    def widened(self, part: float) -> Reading:
        """The figure with `part` of its value more either way."""
        margin = part * abs(self.value)
        return Reading(self.value, self.low - margin, self.high + margin)
