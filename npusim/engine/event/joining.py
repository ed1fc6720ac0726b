"""Joining the partial sums of a chip's PEs: messages one after the other over its network, or through its memory."""

from __future__ import annotations

import math
from typing import NamedTuple

from npusim.engine.event.setting import StepSetting
from npusim.hardware.reductions import reduction_traffic
from npusim.kernels.units.contraction_processor.fusion import clocked, clusters_at_work


class Joining(NamedTuple):
    """fixed_s: of all messages; amount: bytes that they carry; passes: bytes of memory for one of them, 0 where they
    go over the chip's own network."""

    fixed_s: float
    amount: float
    passes: float


def joining(byte_count: float, setting: StepSetting) -> Joining:
    """A reduction of results of `byte_count` bytes over the PEs at work: `on_chip_reduction_time`, taken apart."""
    machine, pes = setting.machine, float(setting.pes)
    messages, carried, passes = reduction_traffic(
        machine["reduction_topology"], pes, float(clusters_at_work(pes, machine))
    )
    measured, factor = machine["reduction_measured_pes"], 1.0
    if pes > measured:
        factor = float(machine["reduction_further"]) ** math.log2(pes / measured)
    fixed_s = messages * float(clocked(machine["reduction_message"], machine)) * factor
    if passes > 0.0:
        return Joining(fixed_s, byte_count * factor, passes)
    return Joining(fixed_s, carried * byte_count * factor, 0.0)
