"""Peak rates, memory and power of an architecture: of one chip, one card and one server."""

from __future__ import annotations

from npusim.hardware.compute import MacRates
from npusim.hardware.system import System

_OPS_PER_MAC = 2


def scopes(system: System) -> dict[str, dict[str, float]]:
    """Peaks, memory and TDP of one chip, of one card and of one server, the server's host not included.

    A server holds the cards that it usually serves with, else the most that can work on one model.
    """
    memory, cards = system.chip.memory, int((system.server.cards or system.server.max_cards).value)
    of_chip = {f"peak_{name}_ops_per_s": rate for name, rate in peak_ops_per_s(system).items()} | {
        "memory_bandwidth_bytes_per_s": memory.peak_bandwidth_bytes_per_s,
        "stream_rate_bytes_per_s": memory.peak_bandwidth_bytes_per_s * memory.stream_efficiency.value,
        "memory_capacity_bytes": memory.capacity.value,
        "memory_usable_bytes": memory.data_bytes,
        "tdp_w": system.chip.power.tdp.value,
    }
    if system.chip.pim is not None:
        of_chip["pim_bandwidth_bytes_per_s"] = system.chip.pim.all_bank_bandwidth_bytes_per_s
    chips = {"chip": 1, "card": system.chips_per_card, "server": system.chips_per_card * cards}
    return {
        scope: {"chips": float(number), **{name: number * value for name, value in of_chip.items()}}
        for scope, number in chips.items()
    }


def peak_ops_per_s(system: System) -> dict[str, float]:
    """Dense peak of one chip by operand type in operations/s; one multiply-accumulate is two operations."""
    unit = system.chip.unit
    return {
        name: _OPS_PER_MAC * unit.elements * rate.value * unit.clock.value
        for name in MacRates.model_fields
        if (rate := getattr(unit.macs, name)) is not None
    }
