"""Joining the partial sums of a chip's PEs: messages one after the other over its network, or through its memory."""

from __future__ import annotations

import math
from typing import NamedTuple

from npusim.engine.event.setting import StepSetting
from npusim.hardware.reductions import TWO_LEVEL, reduction_traffic
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
    message_s = float(clocked(machine["reduction_message"], machine))
    found = []
    for groups in _groups(setting):
        messages, carried, passes = reduction_traffic(machine["reduction_topology"], pes, groups)
        seconds = messages * message_s + carried * byte_count / float(machine["reduction_bandwidth"])
        found.append((seconds, messages, carried, passes))
    _, messages, carried, passes = min(found)
    measured, factor = machine["reduction_measured_pes"], 1.0
    if pes > measured:
        factor = float(machine["reduction_further"]) ** math.log2(pes / measured)
    fixed_s = messages * message_s * factor
    if passes > 0.0:
        return Joining(fixed_s, byte_count * factor, passes)
    return Joining(fixed_s, carried * byte_count * factor, 0.0)


def _groups(setting: StepSetting) -> list[float]:
    """Numbers of equal groups in which a reduction may go: the clusters; in two levels also parts of them."""
    machine, pes = setting.machine, setting.pes
    clusters = int(clusters_at_work(float(pes), machine))
    if machine["reduction_topology"] != TWO_LEVEL:
        return [float(clusters)]
    return [float(groups) for groups in range(clusters, pes + 1) if pes % groups == 0]
