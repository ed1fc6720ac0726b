"""Silicon area of a chip, part by part, from what its description gives."""

from __future__ import annotations

import math

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.compute import MacRates
from npusim.hardware.data import data_root
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Fraction, Positive
from npusim.units import GB, MIB


class MacAreas(Part):
    """Area of a multiply-accumulate unit with its operand registers and accumulator, by operand type."""

    bf16: Positive
    """Area of one BF16 multiply-accumulate unit, in mm2."""
    fp8: Positive
    """Area of one FP8 multiply-accumulate unit, in mm2."""
    int8: Positive
    """Area of one INT8 multiply-accumulate unit, in mm2."""
    int4: Positive
    """Area of one INT4 multiply-accumulate unit, in mm2."""
    nvfp4: Positive
    """Area of one NVFP4 multiply-accumulate unit, in mm2."""


class AreaModel(Part):
    """Silicon area per part of a chip, at the node of the table."""

    node_nm: Positive
    """Node of these numbers, a number of nm by its name."""
    logic_exponent: Positive
    """Exponent with which the area of logic follows the name of the node."""
    sram_exponent: Positive
    """Exponent with which the area of SRAM follows the name of the node."""
    mm2_per_mac: MacAreas
    """Area of multiply-accumulate units."""
    format_share: Fraction
    """Fraction of an array, 0 to 1, that every further operand type adds to it, since types share multipliers."""
    mm2_per_mib_of_sram: Positive
    """Area of SRAM with its periphery, in mm2 per MiB."""
    register_ratio: Positive
    """Ratio of the area of a register file to that of an SRAM of as many bytes."""
    mm2_per_vector_lane: Positive
    """Area of one vector lane with its registers, in mm2."""
    mm2_per_sm: Positive
    """Area of a GPU's streaming multiprocessor beside its tensor cores: lanes, registers, L1 and shared memory, in
    mm2."""
    control_share: Fraction
    """Fraction of the area of arithmetic, lanes and registers, 0 to 1, that their control takes beside them."""
    noc_share: Fraction
    """Fraction of the area of arithmetic, lanes and SRAM, 0 to 1, that the network on the chip takes beside them."""
    mm2_per_memory_stack: Positive
    """Area of the interface of one HBM stack, in mm2."""
    mm2_per_memory_channel: Positive
    """Area of the interface of one LPDDR or GDDR channel, in mm2."""
    mm2_per_host_link: Positive
    """Area of the interface to the host, in mm2."""
    mm2_per_gb_per_s_of_link: Positive
    """Area of links to other chips, in mm2 per GB/s each way."""
    other_share: Fraction
    """Fraction of the die, 0 to 1, that none of these parts is: processors, pads, spare units, white space."""


CLOCKED = ("macs", "vector_lanes", "registers", "control", "noc", "memory_phy", "link_phy")
"""Parts of a die whose logic is clocked and leaks as logic does."""
PARTS = ("macs", "vector_lanes", "sram", "registers", "control", "noc", "memory_phy", "link_phy", "other")
"""Parts of a die, which sum to its area."""


@remembered
def area_model() -> AreaModel:
    """The shipped model."""
    return load_yaml(data_root("arch_configs") / "technology" / "area.yaml", AreaModel)


def node_nm(machines: np.ndarray) -> np.ndarray:
    """Node of each machine's die, a number of nm by its name; that of the shipped area table where none is told."""
    told = machines["die_node_nm"]
    return np.where(np.isnan(told), area_model().node_nm.value, told)


def part_areas(system: System, machines: np.ndarray, model: AreaModel | None = None) -> dict[str, np.ndarray]:
    """Area of the PARTS of each machine (`machine_dtype`) of `system`, mm2 (machines,) each, by the model alone."""
    table, traits = model or area_model(), system.chip.unit.TRAITS

    def product(names: tuple[str, ...]) -> np.ndarray:
        return np.asarray(math.prod(machines[f"{traits.prefix}_{name}"] for name in names), np.float64)

    ratio = node_nm(machines) / table.node_nm.value
    logic, dense = ratio**table.logic_exponent.value, ratio**table.sram_exponent.value
    none = np.zeros(len(machines))
    sram = sum((product(names) for names in traits.on_chip.values()), none) / MIB * table.mm2_per_mib_of_sram.value
    files = product(traits.registers) if traits.registers else none
    registers = files / MIB * table.mm2_per_mib_of_sram.value * table.register_ratio.value
    lanes = product(traits.lanes) * table.mm2_per_vector_lane.value if traits.lanes else none
    if traits.processors:
        lanes = lanes + product(traits.processors) * table.mm2_per_sm.value
    parts = {
        "macs": _mac_area(system, machines, table) * logic,
        "vector_lanes": lanes * logic,
        "sram": sram * dense,
        "registers": registers * dense,
    }
    core = sum(parts.values(), none)
    parts["control"] = (core - parts["sram"]) * table.control_share.value
    parts["noc"] = core * table.noc_share.value
    parts["memory_phy"] = _memory_interfaces(system, machines, table)
    between = machines["fabric_levels_link_bandwidth"][:, 0]
    links = np.nan_to_num(between) / GB * table.mm2_per_gb_per_s_of_link.value
    parts["link_phy"] = links + table.mm2_per_host_link.value
    known = sum(parts.values(), none)
    return parts | {"other": known * table.other_share.value / (1.0 - table.other_share.value)}


def _mac_area(system: System, machines: np.ndarray, table: AreaModel) -> np.ndarray:
    """The largest of the arrays of each operand type, and a share for each further type: types share multipliers."""
    traits = system.chip.unit.TRAITS
    elements = math.prod(machines[f"{traits.prefix}_{name}"] for name in traits.elements)
    arrays = [
        machines[f"{traits.prefix}_{traits.macs}_{name}"] * getattr(table.mm2_per_mac, name).value
        for name in MacRates.model_fields
        if getattr(system.chip.unit.macs, name) is not None
    ]
    further = 1.0 + table.format_share.value * (len(arrays) - 1)
    return np.asarray(elements * np.max(arrays, axis=0) * further)


def _memory_interfaces(system: System, machines: np.ndarray, table: AreaModel) -> np.ndarray:
    if system.chip.memory.technology.startswith("hbm"):
        return np.asarray(machines["memory_stacks"] * table.mm2_per_memory_stack.value)
    channels = machines["memory_stacks"] * machines["memory_channels_per_stack"]
    return np.asarray(channels * table.mm2_per_memory_channel.value)


def modelled_area_mm2(system: System, machines: np.ndarray, model: AreaModel | None = None) -> np.ndarray:
    """Area of the die of each machine by the model alone, mm2 (machines,)."""
    return np.asarray(sum(part_areas(system, machines, model).values()))


def area_proxy_mm2(system: System, machines: np.ndarray) -> np.ndarray:
    """Area of arithmetic, SRAM and memory interfaces of each machine of `system`, mm2 (machines,)."""
    parts = part_areas(system, machines)
    return np.asarray(parts["macs"] + parts["sram"] + parts["memory_phy"])
