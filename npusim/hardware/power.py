"""Power of a chip: idle, loaded static, energy per byte and per operation, and the cap at which it throttles."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import model_validator

from npusim.compilation import kernel
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
    """Lowest clock to which throttling goes, as a fraction of the nominal clock, 0 to 1."""
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


def _saved_by_clocks(clocks_w: Any, over_nominal: Any, clock: Any) -> Any:
    """Watts of clocks that a limiter saves at the fraction `clock` of the full clock, down to the nominal one.

    A chip that is clocked higher than the silicon whose energies it has draws as much more for its clocks, and no more
    than that silicon once it is held to its clock. Below, loaded power was measured as constant.
    """
    return clocks_w * np.maximum(0.0, 1.0 - np.maximum(clock, 1.0 / over_nominal))


saved_by_clocks = kernel(_saved_by_clocks)


def _lowest_clock(minimum: Any, over_nominal: Any) -> Any:
    """The lowest clock to which a limiter goes, as a fraction of the full clock."""
    return np.minimum(1.0, minimum / over_nominal)


lowest_clock = kernel(_lowest_clock)


def loaded_w(machines: np.ndarray | np.void, clock: Any) -> np.ndarray:
    """What raised clocks and warm leakage add to idle at that fraction of the full clock, in watts (machines,)."""
    saved = _saved_by_clocks(machines["power_clocks"], machines["power_over_nominal"], clock)
    return np.asarray(machines["power_loaded_static"] - saved)


def lowest_clocks(machines: np.ndarray | np.void) -> np.ndarray:
    """The lowest clocks to which the limiters of these machines go, as fractions of the full ones (machines,)."""
    return np.asarray(_lowest_clock(machines["power_minimum_clock"], machines["power_over_nominal"]))


def waiting_w(machines: np.ndarray) -> np.ndarray:
    """As `loaded_w` of a chip that waits: no more than an enforced cap leaves over idle."""
    loaded = machines["power_loaded_static"]
    left = np.maximum(0.0, machines["power_cap"] - machines["power_idle"])
    return np.where(machines["power_cap_enforced"], np.minimum(loaded, left), loaded)


def headroom_w(machines: np.ndarray, clock: Any = None) -> np.ndarray:
    """Watts that the enforced cap of each machine leaves to work, float64 (machines,), infinite where there is none.

    clock: fraction of the full one, the lowest if omitted. Where they are not above zero, no work can be done: the
    clocked chip alone draws the cap.
    """
    static = machines["power_idle"] + loaded_w(machines, lowest_clocks(machines) if clock is None else clock)
    return np.where(machines["power_cap_enforced"], machines["power_cap"] - static, np.inf)
