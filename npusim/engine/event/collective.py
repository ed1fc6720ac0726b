"""A collective by itself, message by message."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.engine.event.chip import ChipRun, Record
from npusim.engine.event.command import Position, Program
from npusim.engine.event.network import Network, add_collective
from npusim.engine.event.setting import StepSetting
from npusim.hardware.collectives import OPERATIONS
from npusim.hardware.fabric import Fabric
from npusim.hardware.runtime_record import RUNTIME_DTYPE
from npusim.kernels.units.contraction_processor.fusion import pes_of
from npusim.mapping.optable import OP_NAMES
from npusim.mapping.placement import Groups


def collective_record(operation: int, amount: float, kind: int, groups: Groups, fabric: Fabric, machine: Any) -> Record:
    """The course of a collective of `amount` bytes that all groups of a kind run at the same time.

    machine: record in which the groups are placed; nothing else runs on the chips.
    """
    chips = 1 + max(number for group in groups for number in group)
    network = Network(fabric, {kind: groups}, machine)
    program = Program(room=0.0, resident=0.0, port=0.0)
    row = {"group": kind, "collective_bytes": amount, "op": OP_NAMES.index(OPERATIONS[operation])}
    nothing: list[tuple[int, ...]] = [() for _ in range(chips)]
    add_collective(program, network, row, 1.0, Position(0, 0, 0), nothing, nothing, 0.0)
    pes = int(pes_of(machine)) if "tcp_clusters" in machine.dtype.names else 1
    setting = StepSetting(machine, np.zeros(1, RUNTIME_DTYPE)[0], 0, pes, chips=chips, network=network)
    return ChipRun(program, setting).run()
