"""A proxy of silicon area for comparing designs: the parts of a chip whose size its description gives."""

from __future__ import annotations

import math

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Positive
from npusim.units import MIB


class AreaModel(Part):
    """Silicon area per part of a chip."""

    mm2_per_mib_of_sram: Positive
    """Area of SRAM with its periphery, in mm2 per MiB."""
    mm2_per_bf16_mac: Positive
    """Area of one BF16 multiply-accumulate unit with its registers, in mm2."""
    mm2_per_memory_stack: Positive
    """Area of the interface of one HBM stack, in mm2."""
    mm2_per_memory_channel: Positive
    """Area of the interface of one LPDDR or GDDR channel, in mm2."""


@remembered
def area_model() -> AreaModel:
    """The shipped model."""
    return load_yaml(data_root("arch_configs") / "technology" / "area.yaml", AreaModel)


def area_proxy_mm2(system: System, machines: np.ndarray) -> np.ndarray:
    """Area of arithmetic, SRAM and memory interfaces of each machine (`machine_dtype`) of `system`, mm2 (machines,).

    Control, links and the rest of the die are not in it.
    """
    model = area_model()
    traits = system.chip.unit.TRAITS

    def product(names: tuple[str, ...]) -> np.ndarray:
        return np.asarray(math.prod(machines[f"{traits.prefix}_{name}"] for name in names))

    macs = product((*traits.elements, f"{traits.macs}_bf16"))
    sram_bytes = sum(product(names) for names in traits.on_chip.values())
    if system.chip.memory.technology.startswith("hbm"):
        interfaces = machines["memory_stacks"] * model.mm2_per_memory_stack.value
    else:
        channels = machines["memory_stacks"] * machines["memory_channels_per_stack"]
        interfaces = channels * model.mm2_per_memory_channel.value
    sram = sram_bytes / MIB * model.mm2_per_mib_of_sram.value
    return np.asarray(macs * model.mm2_per_bf16_mac.value + sram + interfaces)
