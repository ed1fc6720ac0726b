"""Power of a chip: idle, loaded static, energy per byte and per operation, and the cap at which it throttles."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from npusim.hardware.base import Part
from npusim.hardware.compute import MacEnergies
from npusim.ledger import Duration, Efficiency, EnergyPerByte, EnergyPerOp, Power, Quantity, in_unit

Exponent = Annotated[Quantity, in_unit("", zero=True, most=10.0)]


class PowerModel(Part):
    """Power = idle + loaded_static (while a step runs) + energies x rates, held at the cap."""

    idle: Power
    """Power of a chip without load, in watts."""
    loaded_static: Power
    """Power that raised clocks and warm leakage add to idle while a step runs, in watts."""
    memory_byte: EnergyPerByte
    """Energy of moving data between memory and chip, in joules per byte."""
    mac: MacEnergies
    """Energy of multiply-accumulates by operand type."""
    vector_op: EnergyPerOp
    """Energy of one operation of a vector lane, in joules."""
    link_byte: EnergyPerByte
    """Energy of sending over a link between chips, in joules per byte."""
    tdp: Power
    """Thermal design power as published, in watts; it is only shown, since chips do not always keep to it."""
    cap: Power
    """Power limit that the card enforces, in watts; one of kind `assumed` is reported but never throttles."""
    minimum_clock: Efficiency
    """Lowest clock to which throttling goes, as a fraction of the full clock, 0 to 1."""
    voltage_exponent: Exponent
    """Exponent with which the dynamic energy of an operation scales with the clock."""
    limiter_time: Duration | None = None
    """Time constant with which the clock approaches what the cap allows, in seconds; at once if omitted."""

    @model_validator(mode="after")
    def _the_cap_leaves_room(self) -> PowerModel:
        if self.cap.value < self.idle.value:
            raise ValueError(f"cap {self.cap.text} is less than what the chip draws idle, {self.idle.text}")
        return self
