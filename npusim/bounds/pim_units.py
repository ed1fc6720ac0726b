"""What the units inside a memory add to a chip's rates: every unit reads one column of its bank with each command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from npusim.hardware.pim import Pim
from npusim.ledger import Quantity

_Pick = Callable[[Quantity], float]
OperandFormats = tuple[str, str, str]
"""Of weights, activations and KV cache."""
_OPS_PER_MAC = 2.0
_RATES = {
    ("bf16", "bf16"): ("bf16", "fp16"),
    ("int8", "int8"): ("int8",),
    ("int8", "bf16"): ("w8a16",),
    ("int4", "int8"): ("w4a8",),
    ("int4", "bf16"): ("w4a16",),
}
"""Rates of a unit that multiply stored elements by activations; other pairs go over the bus to the chip."""


@dataclass(frozen=True)
class UnitsCeiling:
    """bytes_per_s: that all units of one chip read between activations; ops_per_s: in their fastest format."""

    bytes_per_s: float
    ops_per_s: float


def multiplies(pim: Pim, formats: OperandFormats) -> bool:
    """Whether the units multiply the weights by the activations, or the keys and values by any activations."""
    weights, activations, kv = formats
    rates = pim.unit.mac.rates
    pairs = [(weights, activations), *(pair for pair in _RATES if pair[0] == kv)]
    return any(getattr(rates, name) is not None for pair in pairs for name in _RATES.get(pair, ()))


def units_ceiling(pim: Pim | None, most: _Pick, least: _Pick, formats: OperandFormats | None = None) -> UnitsCeiling:
    """The rates of a chip's units, none without them and in `formats` that they do not multiply.

    most, least: which end of a range is taken; formats: of the run, None for any.

    What the units share (activations, inputs that come in, results that leave) takes time that is not counted.
    """
    if pim is None or (formats is not None and not multiplies(pim, formats)):
        return UnitsCeiling(0.0, 0.0)
    mac = pim.unit.mac
    period_s = least(mac.interval) * least(mac.power_factor) * pim.memory.clock_period_s
    commands_per_s = most(pim.channels) * most(mac.units) / period_s
    rates = (getattr(mac.rates, name) for name in type(mac.rates).model_fields)
    fastest = max((most(rate) for rate in rates if rate is not None), default=0.0)
    return UnitsCeiling(commands_per_s * pim.memory.organisation.access.value, commands_per_s * _OPS_PER_MAC * fastest)
