"""Figures of the chip itself that proposals claim: peak rate, efficiency, bandwidth, capacity; of all their cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npusim.answers.peaks import peak_ops_per_s
from npusim.errors import UserError
from npusim.hardware.system import System
from npusim.units import GIB
from npusim.workload.precision import SCHEMES

_TERA, _GIGA = 1e12, 1e9
_OPS_PER_MAC = 2.0


@dataclass(frozen=True)
class Peak:
    """unit: of the figure; of: the figure of `chips` chips, from their system, drawn record and operand type."""

    unit: str
    of: Callable[[System, np.void, int, str], float]


def _ops_per_s(system: System, record: np.void, chips: int, operand: str) -> float:
    unit = system.chip.unit
    prefix, traits = unit.TRAITS.prefix, unit.TRAITS
    elements = np.prod([float(record[f"{prefix}_{name}"]) for name in traits.elements])
    rate = float(record[f"{prefix}_{traits.macs}_{operand}"])
    return chips * _OPS_PER_MAC * float(elements) * rate * float(record[f"{prefix}_clock"])


def _bandwidth(system: System, record: np.void, chips: int, operand: str) -> float:
    names = ("memory_stacks", "memory_channels_per_stack", "memory_channel_bandwidth")
    return chips * float(np.prod([float(record[name]) for name in names]))


PEAKS = {
    "peak_tops": Peak(
        "TOPS", lambda system, record, chips, operand: _ops_per_s(system, record, chips, operand) / _TERA
    ),
    "tops_per_w": Peak(
        "TOPS/W",
        lambda system, record, chips, operand: (
            _ops_per_s(system, record, 1, operand) / _TERA / float(record["power_tdp"])
        ),
    ),
    "memory_gb_per_s": Peak("GB/s", lambda *asked: _bandwidth(*asked) / _GIGA),
    "memory_gib": Peak("GiB", lambda system, record, chips, operand: chips * float(record["memory_capacity"]) / GIB),
}
"""Dense rates, of the operand type that a precision scheme multiplies; TOPS/W against the TDP."""


def operand_of(system: System, precision: str | None, source: str) -> str:
    """The operand type of a scheme, the fastest where none is told. Raises UserError for one that the chip lacks."""
    rates = peak_ops_per_s(system)
    if precision is None:
        return max(rates, key=lambda name: rates[name])
    _, activations = SCHEMES.get(precision, ("", precision))
    if activations not in rates:
        raise UserError(source, "precision", f"{system.name} has no peak in {activations}; known: {', '.join(rates)}")
    return activations
