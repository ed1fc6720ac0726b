"""Power of a chip: idle, loaded static, energy per byte and per operation, and the cap at which it throttles."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import model_validator

from npusim.hardware.base import Part
from npusim.hardware.compute import MacEnergies
from npusim.ledger import Duration, Efficiency, EnergyPerByte, EnergyPerOp, Frequency, Power, Quantity, in_unit

_Exponent = Annotated[Quantity, in_unit("", zero=True, most=10.0)]


class PowerModel(Part):
    """Power = idle + loaded_static (while a step runs) + energies x rates, held at the cap."""

    idle: Power
    """Power of a chip without load, in watts."""
    loaded_static: Power
    """Power that raised clocks and warm leakage add to idle while a step runs, in watts."""
    memory_byte: EnergyPerByte | None = None
    """Energy of moving data between memory and chip, in joules per byte; bottom up from its accesses if omitted."""
    mac: MacEnergies | None = None
    """Energy of multiply-accumulates by operand type, bottom up from their accesses if omitted."""
    vector_op: EnergyPerOp | None = None
    """Energy of one operation of a vector lane, in joules; bottom up from its accesses if omitted."""
    link_byte: EnergyPerByte | None = None
    """Energy of sending over a link between chips, in joules per byte; that of the table of accesses if omitted."""
    fans: Power | None = None
    """Power of fans on the card, in watts, which is part of `idle`; none if omitted."""
    tdp: Power
    """Thermal design power as published, in watts; it is only shown, since chips do not always keep to it."""
    cap: Power
    """Power limit of the chip, in watts; where it is enforced, clock and then memory slow down until sustained power
    keeps to it."""
    cap_enforced: bool | None = None
    """Whether the chip keeps to `cap`; if omitted, it does unless the cap is `assumed`."""
    nominal_clock: Frequency | None = None
    """Clock at which the energies hold, in Hz, so that a unit with another one has another voltage; the unit's own if
    omitted."""
    minimum_clock: Efficiency
    """Lowest clock to which throttling goes, as a fraction of the full clock, 0 to 1."""
    minimum_voltage: Efficiency | None = None
    """Lowest voltage, as a fraction of that at the nominal clock, 0 to 1, below which no lower clock saves energy; no
    limit if omitted."""
    voltage_exponent: _Exponent
    """Exponent with which the dynamic energy of an operation scales with the clock."""
    limiter_time: Duration | None = None
    """Time constant with which the clock approaches what the cap allows, in seconds; at once if omitted."""
    sustained_window: Duration | None = None
    """Time constant of the mean power that the limiter keeps at the cap or below even where work that exceeds it is
    mixed with other work, in seconds; that of the limiter if omitted."""

    @property
    def enforces(self) -> bool:
        """Whether the cap throttles."""
        return not self.cap.is_assumed if self.cap_enforced is None else self.cap_enforced

    @model_validator(mode="after")
    def _the_cap_leaves_room(self) -> PowerModel:
        if self.cap.value < self.idle.value:
            raise ValueError(f"cap {self.cap.text} is less than what the chip draws idle, {self.idle.text}")
        return self


def headroom_w(machines: np.ndarray) -> np.ndarray:
    """Watts that the enforced cap of each machine leaves to work, float64 (machines,), infinite where there is none.

    Where they are not above zero, no work can be done: the clocked chip alone draws the cap.
    """
    static = machines["power_idle"] + machines["power_loaded_static"]
    return np.where(machines["power_cap_enforced"], machines["power_cap"] - static, np.inf)
