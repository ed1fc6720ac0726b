"""Power of a chip: idle, loaded static, energy per byte and per operation, and the cap at which it throttles."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from npusim.hardware.base import Part
from npusim.hardware.compute import MacEnergies
from npusim.ledger import Duration, Efficiency, EnergyPerByte, EnergyPerOp, Power, Quantity, in_unit

Exponent = Annotated[Quantity, in_unit("", zero=True, most=10.0)]


class PowerModel(Part):
    """P = idle + loaded_static (while a step runs) + energies x rates, held at `cap`.

    loaded_static: what clocks up and warm leakage add to idle; cap: the limit that the card enforces. An `assumed` cap
    is reported but never throttles: an unknown cap is no cap. minimum_clock: lowest clock, as a part of the full one,
    to which throttling goes. voltage_exponent: dynamic energy per operation scales as clock ** voltage_exponent.
    limiter_time: time constant with which the clock nears what the cap allows; left out, it is there at once.
    """

    idle: Power
    loaded_static: Power
    memory_byte: EnergyPerByte
    mac: MacEnergies
    vector_op: EnergyPerOp
    link_byte: EnergyPerByte
    tdp: Power
    cap: Power
    minimum_clock: Efficiency
    voltage_exponent: Exponent
    limiter_time: Duration | None = None

    @model_validator(mode="after")
    def _the_cap_leaves_room(self) -> PowerModel:
        if self.cap.value < self.idle.value:
            raise ValueError(f"cap {self.cap.text} is less than what the chip draws idle, {self.idle.text}")
        return self
