"""A proxy of silicon area for comparing designs: the parts of a chip whose size its description gives."""

from __future__ import annotations

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.machine import UNIT_CONTRACTION_PROCESSOR
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Positive

_BYTES_PER_MIB = 2.0**20


class AreaModel(Part):
    """Square millimetres per part; memory interfaces by stack (HBM) or by channel (LPDDR, GDDR)."""

    mm2_per_mib_of_sram: Positive
    mm2_per_bf16_mac: Positive
    mm2_per_memory_stack: Positive
    mm2_per_memory_channel: Positive


@remembered
def area_model() -> AreaModel:
    """The shipped model."""
    return load_yaml(data_root("arch_configs") / "technology" / "area.yaml", AreaModel)


def area_proxy_mm2(system: System, machines: np.ndarray) -> np.ndarray:
    """Area of arithmetic, SRAM and memory interfaces of each machine (MACHINE_DTYPE) of `system`, mm2 (machines,).

    Control, links and the rest of the die are not in it.
    """
    model = area_model()
    if machines["unit_kind"][0] == UNIT_CONTRACTION_PROCESSOR:
        elements = machines["tcp_clusters"] * machines["tcp_pes_per_cluster"] * machines["tcp_slices_per_pe"]
        macs, sram_bytes = elements * machines["tcp_macs_per_slice_bf16"], elements * machines["tcp_sram_per_slice"]
    else:
        macs = machines["gpu_sms"] * machines["gpu_macs_per_sm_bf16"]
        sram_bytes = machines["gpu_l2_capacity"]
    if system.chip.memory.technology.startswith("hbm"):
        interfaces = machines["memory_stacks"] * model.mm2_per_memory_stack.value
    else:
        channels = machines["memory_stacks"] * machines["memory_channels_per_stack"]
        interfaces = channels * model.mm2_per_memory_channel.value
    sram = sram_bytes / _BYTES_PER_MIB * model.mm2_per_mib_of_sram.value
    return np.asarray(macs * model.mm2_per_bf16_mac.value + sram + interfaces)
