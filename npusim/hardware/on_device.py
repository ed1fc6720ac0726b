"""The device around a chip that serves one user: what it draws besides, how its heat leaves, its battery."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from npusim.hardware.base import Part
from npusim.ledger import (
    Efficiency,
    Energy,
    HeatCapacity,
    PowerOrZero,
    Quantity,
    Temperature,
    ThermalResistance,
)

MOST_PATHS = 8
"""Heat paths of a device, each with a limit of its own."""


class HeatPath(Part):
    """From a source of heat to the air: one resistance, one capacity and a temperature that must not be passed."""

    name: str
    """Name of what must not become hotter, such as junction or skin."""
    heats: Literal["chip", "device"]
    """Whether the power of the chip alone warms it, or that of the whole device."""
    limit: Temperature
    """Highest temperature, in degrees Celsius, which sustained power keeps to."""
    resistance: ThermalResistance
    """Thermal resistance from there to the air, in K/W."""
    capacity: HeatCapacity
    """Heat that warms it by one kelvin, in J/K, which decides the time until it is at its limit."""


class Thermal(Part):
    """How the heat of a device leaves it."""

    ambient: Temperature
    """Temperature of the air, in degrees Celsius."""
    paths: tuple[HeatPath, ...] = Field(min_length=1, max_length=MOST_PATHS)
    """Heat paths, of which the one that sustains the least power decides."""

    @model_validator(mode="after")
    def _limits_are_above_the_air(self) -> Thermal:
        names = [path.name for path in self.paths]
        if len(set(names)) < len(names):
            raise ValueError("two paths have one name; give each its own")
        for path in self.paths:
            if _low(path.limit) <= _high(self.ambient):
                raise ValueError(
                    f"{path.name}: the limit, {path.limit.text}, does not stay above ambient, {self.ambient.text}, "
                    "over their ranges; mend one of them"
                )
        return self


class Battery(Part):
    """What a device runs from."""

    energy: Energy
    """Energy of a full charge, in joules (1 Wh is 3,600 J)."""
    usable: Efficiency
    """Fraction of it, 0 to 1, that arrives at chip and device."""


class Device(Part):
    """A device of one chip; what is omitted is unknown, and so is what would follow from it."""

    beside: PowerOrZero | None = None
    """Draw of the device beside its chip while that works or waits, in watts: host, display, radio; unknown if
    omitted."""
    thermal: Thermal | None = None
    """How its heat leaves it; unknown if omitted."""
    battery: Battery | None = None
    """What it runs from; unknown if omitted."""
    duty: Efficiency | None = None
    """Fraction of the time, 0 to 1, in which it answers, for the hours of a charge in everyday use; unknown if
    omitted."""


def _low(number: Quantity) -> float:
    return number.value if number.low is None else number.low


def _high(number: Quantity) -> float:
    return number.value if number.high is None else number.high
