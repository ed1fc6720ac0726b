"""What the chips of an architecture can do at most: at the favourable ends of its numbers' ranges, or at their values.

A generous ceiling takes every range at the end that favours a claim, so that what is above it is impossible.
The other takes the values, and capacities and rates as a datasheet would print them (`unit_readings`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from npusim import dtypes
from npusim.bounds.pim_units import OperandFormats, units_ceiling
from npusim.bounds.unit_readings import as_datasheet, in_decimal_units
from npusim.hardware.catalog import load_system
from npusim.hardware.compute import MacRates, Unit
from npusim.hardware.fabric import Level
from npusim.hardware.machine import build_machine
from npusim.hardware.system import System
from npusim.inputs import remembered
from npusim.kernels.memory import stream_bandwidth
from npusim.ledger import Quantity

_Pick = Callable[[Quantity], float]
"""Which end of a range is taken."""
_OPS_PER_MAC = 2.0


@dataclass(frozen=True)
class LinkCeiling:
    """Fastest that one direction of a link between chips is, bytes/s and seconds, and how many links a chip has."""

    bandwidth_bytes_per_s: float
    latency_s: float
    links: int


@dataclass(frozen=True)
class Ceiling:
    """Limits of one chip, SI units; what PIM units read and multiply inside the memory is in its rates.

    sustained: highest part of the memory's peak that long streams reach; on_chip_bytes: memory on the chip that could
    keep weights; ops_per_s: dense peak by operand type; multiplied: operand type by (weights, activations);
    idle_w: of a chip at rest; power_w: limit that the chip enforces, None where it is not known, which leaves
    assumed_w, the limit of its description; tdp_w: thermal design power; links: between the chips of a card and
    between cards.
    """

    memory_bytes: float
    bandwidth_bytes_per_s: float
    sustained: float
    on_chip_bytes: float
    ops_per_s: Mapping[str, float]
    multiplied: Mapping[tuple[str, str], str]
    idle_w: float
    power_w: float | None
    assumed_w: float | None
    tdp_w: float
    on_card: LinkCeiling | None
    between_cards: LinkCeiling
    chips_per_card: int

    def seconds_of(self, ops: Mapping[tuple[str, str], float]) -> float:
        """Least seconds of operations by (weights, activations); those of no known type at the fastest rate."""
        fastest = max(self.ops_per_s.values())
        rates = {key: self.ops_per_s.get(self.multiplied.get(key, ""), fastest) for key in ops}
        return sum(count / rates[key] for key, count in ops.items())


@remembered
def ceiling_of(arch: str, generous: bool, formats: OperandFormats | None = None) -> Ceiling:
    """The ceiling of one chip of the architecture, without its calibration. Raises UserError."""
    return ceiling(load_system(arch, uncalibrated=True), generous, formats)


def ceiling(system: System, generous: bool, formats: OperandFormats | None = None) -> Ceiling:
    """The ceiling of one chip of `system`; formats: of a run, in which PIM units count where they multiply them."""
    chip, most, least = system.chip, _high if generous else _value, _low if generous else _value
    memory, power = chip.memory, chip.power
    peak = most(memory.stacks) * most(memory.channels_per_stack) * most(memory.channel_bandwidth)
    capacity, units = most(memory.capacity), units_ceiling(chip.pim, most, least, formats)
    levels, several = system.server.fabric.levels, int(system.chips_per_card > 1)
    return Ceiling(
        memory_bytes=capacity if generous else in_decimal_units(capacity),
        bandwidth_bytes_per_s=peak + units.bytes_per_s if generous else max(as_datasheet(peak), units.bytes_per_s),
        sustained=_sustained(system) if chip.pim is None else 1.0,
        on_chip_bytes=_on_chip(chip.unit, most) if generous else 0.0,
        ops_per_s={name: rate + units.ops_per_s for name, rate in _ops_per_s(chip.unit, most).items()},
        multiplied=_multiplied(system),
        idle_w=least(power.idle),
        power_w=most(power.cap) if power.enforces else None,
        assumed_w=None if power.enforces else most(power.cap),
        tdp_w=power.tdp.value,
        on_card=None if several == 0 else _link(levels[0], generous),
        between_cards=_link(levels[several], generous),
        chips_per_card=system.chips_per_card,
    )


def _value(quantity: Quantity) -> float:
    return quantity.value


def _high(quantity: Quantity) -> float:
    return quantity.value if quantity.high is None else quantity.high


def _low(quantity: Quantity) -> float:
    return quantity.value if quantity.low is None else quantity.low


def _link(level: Level, generous: bool) -> LinkCeiling:
    link = level.link
    if generous:
        return LinkCeiling(_high(link.bandwidth), _low(link.latency), level.links)
    return LinkCeiling(link.bandwidth.value * link.efficiency.value, link.latency.value, level.links)


def _sustained(system: System) -> float:
    """Part of the peak that a stream over all engines reaches with every number of the memory at its best."""
    machines = build_machine(system)
    record = machines[0]
    memory, unit = system.chip.memory, system.chip.unit
    record["memory_stream_efficiency"] = _high(memory.stream_efficiency)
    record["memory_hot_efficiency"] = _high(memory.hot_efficiency)
    record["memory_contention_sharpness"] = _high(memory.contention_sharpness)
    record["memory_host_share"] = 0.0 if memory.host_share is None else _low(memory.host_share)
    for name in unit.TRAITS.best:
        record[f"{unit.TRAITS.prefix}_{name}"] = _high(getattr(unit, name))
    return float(stream_bandwidth(record, unit.engines)) / memory.peak_bandwidth_bytes_per_s


def _on_chip(unit: Unit, pick: _Pick) -> float:
    memories = unit.TRAITS.on_chip.values()
    return sum(unit.product(parts) * pick(getattr(unit, size)) for *parts, size in memories)


def _ops_per_s(unit: Unit, pick: _Pick) -> dict[str, float]:
    return {
        name: _OPS_PER_MAC * unit.elements * pick(rate) * pick(unit.clock)
        for name in MacRates.model_fields
        if (rate := getattr(unit.macs, name)) is not None
    }


def _multiplied(system: System) -> dict[tuple[str, str], str]:
    table = build_machine(system)[0]["multiplies"]
    return {
        (stored, activations): dtypes.name(code)
        for stored in dtypes.NAMES
        for activations in dtypes.NAMES
        if (code := int(table[dtypes.code(stored), dtypes.code(activations)])) != dtypes.NOT_MULTIPLIED
    }
