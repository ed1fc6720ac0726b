"""Energy of a chip's accesses, bottom up: what the energies of its description consist of.

A description gives a few energies (a multiply-accumulate with its operand delivery, a byte of memory traffic, static
power); published tables and the chip's own sizes say what they are spent on. The parts are shares of the description's
energy, so that they sum to it; `reconciliation` tells how far the tables are from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.compute import MacRates
from npusim.hardware.data import data_root
from npusim.hardware.system import System
from npusim.hardware.technology.area import CLOCKED, node_nm, part_areas
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Bytes, Efficiency, EnergyPerByte, EnergyPerOp, Positive, Power, Ratio
from npusim.units import KIB

OPERAND_BYTES = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "nvfp4": 0.5}
_SCALAR_BYTES = 4.0
"""Bytes of an operand of the vector lanes, which compute in 32 bits."""


class OperationEnergies(Part):
    """Energy of an operation by operand type."""

    bf16: EnergyPerOp
    """Energy with BF16 operands, in joules."""
    fp8: EnergyPerOp
    """Energy with FP8 operands, in joules."""
    int8: EnergyPerOp
    """Energy with INT8 operands, in joules."""
    int4: EnergyPerOp
    """Energy with INT4 operands, in joules."""
    nvfp4: EnergyPerOp
    """Energy with NVFP4 operands, in joules."""


class DeviceEnergies(Part):
    """Energy of DRAM whose standard a description does not name, from the array to the pins."""

    hbm: EnergyPerByte
    """Energy of a byte of HBM, in joules per byte."""
    gddr: EnergyPerByte
    """Energy of a byte of GDDR, in joules per byte."""
    lpddr: EnergyPerByte
    """Energy of a byte of LPDDR, in joules per byte."""


class EnergyTable(Part):
    """Energy of operations and accesses at the node of the table."""

    node_nm: Positive
    """Node of these numbers, a number of nm by its name."""
    logic_exponent: Positive
    """Exponent with which the energy of logic follows the name of the node."""
    sram_exponent: Positive
    """Exponent with which the energy of SRAM follows the name of the node."""
    multiply: OperationEnergies
    """Energy of multiplications."""
    accumulate: OperationEnergies
    """Energy of the addition to the accumulator."""
    vector: EnergyPerOp
    """Energy of an operation of a vector lane, in joules."""
    register_byte: EnergyPerByte
    """Energy of a register access, in joules per byte."""
    accumulator_bytes: Ratio
    """Ratio of the bytes of accumulators that are read and written to multiply-accumulates."""
    sram_byte: EnergyPerByte
    """Energy of an access to the smallest SRAM, in joules per byte."""
    sram_root: EnergyPerByte
    """Energy that an SRAM access takes more for each square root of a KiB, in joules per byte."""
    sram_largest: Bytes
    """Size of the largest bank, in bytes."""
    operand_sharing: Positive
    """Number of multiply-accumulates that one operand serves where a description does not tell."""
    wire_byte: EnergyPerByte
    """Energy of a byte that crosses 1 mm of the network on the chip, in joules per byte."""
    phy_byte: EnergyPerByte
    """Energy of controller and physical layer of the memory on the chip's side, in joules per byte."""
    device: DeviceEnergies
    """Energy of DRAM without a standard of its own."""
    link_byte: EnergyPerByte
    """Energy of sending over a serial link between chips, in joules per byte."""
    leakage_mm2: Power
    """Leakage of 1 mm2 of logic at the temperature of a clocked chip without load, in watts."""
    sram_leakage_mm2: Power
    """Leakage of 1 mm2 of SRAM with its periphery at that temperature, in watts."""
    leakage_ratio: Positive
    """Ratio of leakage under load to leakage without, by the temperatures of both."""
    clock_mm2: Power
    """Power of clocks of 1 mm2 of logic while a step runs, in watts; SRAM is clocked by its accesses."""
    board: Power
    """Power of the rest of the board, in watts."""
    conversion: Efficiency
    """Fraction of the board's power, 0 to 1, that its converters deliver."""


@remembered
def energy_table() -> EnergyTable:
    """The shipped table."""
    return load_yaml(data_root("arch_configs") / "technology" / "energy.yaml", EnergyTable)


COMPONENTS = (
    "mac_bf16", "mac_fp8", "mac_int8", "mac_int4", "mac_nvfp4", "vector", "registers", "sram_read", "sram_write", "noc",
    "dram_activate", "dram_read", "dram_write", "dram_io", "dram_refresh", "dram_background", "memory_phy",
    "pim_column", "pim_mac", "link", "leakage", "clocks", "board", "fans", "conversion",
)  # fmt: skip
"""What a chip's energy is spent on."""
GROUPS = {
    "arithmetic": ("mac_bf16", "mac_fp8", "mac_int8", "mac_int4", "mac_nvfp4", "vector", "registers"),
    "sram": ("sram_read", "sram_write"),
    "noc": ("noc",),
    "dram": ("dram_activate", "dram_read", "dram_write", "dram_io", "memory_phy"),
    "pim": ("pim_column", "pim_mac"),
    "link": ("link",),
    "static": ("leakage", "clocks", "dram_refresh", "dram_background", "board", "fans"),
    "conversion": ("conversion",),
}
"""Components that sweeps tell together."""
_OF_PIM = {"pim_activate": "dram_activate", "pim_column": "pim_column", "pim_mac": "pim_mac", "pim_io": "dram_io"}
"""Components of the parts that units in memory spend, whose energies are those of commands already."""
Spent = dict[str, np.ndarray]


def bottom_up(system: System, machines: np.ndarray, table: EnergyTable | None = None) -> dict[str, Spent]:
    """What a unit of each part of the energy (`kernels.power.ENERGY_PARTS`) consists of, without conversion losses.

    Joules of a multiply-accumulate, of a vector operation, of a byte read and written, of a byte on a link; watts of
    idle and of what a running step adds: by component, float64 (machines,) each.
    """
    known = table or energy_table()
    node = node_nm(machines) / known.node_nm.value
    logic, dense = node**known.logic_exponent.value, node**known.sram_exponent.value
    sram = _sram_byte(system, machines, known) * dense
    areas = part_areas(system, machines)
    clocked = np.sum([areas[name] for name in CLOCKED], axis=0)
    # A byte crosses half of the die's edge on average in each direction.
    noc = known.wire_byte.value * np.sqrt(np.sum(list(areas.values()), axis=0))
    registers = known.register_byte.value * logic
    parts: dict[str, Spent] = {}
    for name in MacRates.model_fields:
        operand = OPERAND_BYTES[name]
        arithmetic = getattr(known.multiply, name).value + getattr(known.accumulate, name).value
        parts[f"mac_{name}"] = {
            f"mac_{name}": _all(machines, arithmetic * logic),
            "registers": _all(machines, (operand + known.accumulator_bytes.value) * registers),
            "sram_read": operand * sram / _sharing(system, machines, known),
        }
    parts["vector"] = {
        "vector": _all(machines, known.vector.value * logic),
        "registers": _all(machines, 3.0 * _SCALAR_BYTES * registers),
        "sram_read": sram * OPERAND_BYTES["bf16"],
        "sram_write": sram * OPERAND_BYTES["bf16"],
    }
    device = _device(system, machines, known)
    shared = {"memory_phy": _all(machines, known.phy_byte.value), "noc": noc}
    parts["memory_read"] = {**device["read"], **shared, "sram_write": sram, "sram_read": sram}
    parts["memory_write"] = {**device["write"], **shared, "sram_read": sram}
    parts["link"] = {"link": _all(machines, known.link_byte.value)}
    leakage = clocked * known.leakage_mm2.value + areas["sram"] * known.sram_leakage_mm2.value
    parts["idle"] = {
        "leakage": leakage,
        "board": _all(machines, known.board.value),
        "fans": np.nan_to_num(machines["power_fans"]),
        **device["rest"],
    }
    parts["loaded"] = {
        "leakage": leakage * (known.leakage_ratio.value - 1.0),
        "clocks": clocked * known.clock_mm2.value * machines["power_over_nominal"],
    }
    return parts


def _all(machines: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    return np.full(len(machines), value)


def _sram_byte(system: System, machines: np.ndarray, table: EnergyTable) -> np.ndarray:
    """Joules of a byte read from or written to one of the SRAMs on the chip, that of each element by itself."""
    traits = system.chip.unit.TRAITS
    names = next(iter(traits.on_chip.values()))
    size = machines[f"{traits.prefix}_{names[-1]}"] / KIB
    # Larger memories are made of banks, and the wires to them count for the rest.
    size = np.minimum(size, table.sram_largest.value / KIB)
    return np.asarray(table.sram_byte.value + table.sram_root.value * np.sqrt(size))


def _sharing(system: System, machines: np.ndarray, table: EnergyTable) -> np.ndarray:
    traits = system.chip.unit.TRAITS
    if not traits.shared:
        return _all(machines, table.operand_sharing.value)
    return np.asarray(math.prod(machines[f"{traits.prefix}_{name}"] for name in traits.shared), np.float64)


def _device(system: System, machines: np.ndarray, table: EnergyTable) -> dict[str, Spent]:
    """read, write: joules of a byte; rest: watts of all channels, refreshed and at rest."""
    memory = system.chip.memory
    dram = system.chip.dram
    if dram is None:
        kind = next((name for name in ("hbm", "gddr", "lpddr") if memory.technology.startswith(name)), "hbm")
        of_device = _all(machines, getattr(table.device, kind).value)
        return {"read": {"dram_read": of_device}, "write": {"dram_write": of_device}, "rest": {}}
    energy, shape = dram.energy, dram.organisation
    channels = machines["memory_stacks"] * machines["memory_channels_per_stack"]
    channels = channels * machines["memory_channel_bandwidth"] / dram.peak_bandwidth.value
    of_any = {
        "dram_activate": _all(machines, energy.activate.value / shape.row.value),
        "dram_io": _all(machines, energy.io.value),
    }
    interval_s = dram.timing.tREFI.value * dram.clock_period_s
    return {
        "read": {**of_any, "dram_read": _all(machines, energy.read.value)},
        "write": {**of_any, "dram_write": _all(machines, energy.write.value)},
        "rest": {
            "dram_refresh": channels * shape.ranks.value * energy.refresh.value / interval_s,
            "dram_background": channels * energy.background.value,
        },
    }


def breakdown(machines: int, units: Mapping[str, Spent], parts_j: Mapping[str, Any]) -> Spent:
    """The joules of ENERGY_PARTS by component, float64 (machines,) each; they sum to the joules of all parts.

    units: what a unit of each part consists of on those machines, as `bottom_up` says.
    """
    lost = 1.0 - energy_table().conversion.value
    found = {name: np.zeros(machines) for name in COMPONENTS}
    for part, joules in parts_j.items():
        if part in _OF_PIM:
            found[_OF_PIM[part]] += joules
            continue
        total = sum(units[part].values(), np.zeros(machines))
        for name, each in units[part].items():
            found[name] += joules * (1.0 - lost) * each / total
        found["conversion"] += joules * lost
    return found


def totals(system: System, machines: np.ndarray, table: EnergyTable | None = None) -> Spent:
    """Joules of a unit of each part, or watts, at the board's input: bottom up, float64 (machines,) each."""
    known = table or energy_table()
    none = np.zeros(len(machines))
    return {
        part: sum(units.values(), none) / known.conversion.value
        for part, units in bottom_up(system, machines, known).items()
    }
