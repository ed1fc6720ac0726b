"""What the units inside a memory add to a chip's rates: every unit reads one column of its bank with each command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from npusim.hardware.pim import Pim
from npusim.ledger import Quantity

Pick = Callable[[Quantity], float]
_OPS_PER_MAC = 2.0


@dataclass(frozen=True)
class UnitsCeiling:
    """bytes_per_s: that all units of one chip read between activations; ops_per_s: in their fastest format."""

    bytes_per_s: float
    ops_per_s: float


def units_ceiling(pim: Pim | None, most: Pick, least: Pick) -> UnitsCeiling:
    """The rates of a chip's units, none without them. most, least: which end of a range is taken.

    What the units share (activations, inputs that come in, results that leave) takes time that is not counted.
    """
    if pim is None:
        return UnitsCeiling(0.0, 0.0)
    mac = pim.unit.mac
    period_s = least(mac.interval) * least(mac.power_factor) * pim.memory.clock_period_s
    commands_per_s = most(pim.channels) * most(mac.units) / period_s
    rates = (getattr(mac.rates, name) for name in type(mac.rates).model_fields)
    fastest = max((most(rate) for rate in rates if rate is not None), default=0.0)
    return UnitsCeiling(commands_per_s * pim.memory.organisation.access.value, commands_per_s * _OPS_PER_MAC * fastest)
