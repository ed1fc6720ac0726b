"""Joining the partial sums of a chip's PEs: messages one after the other over its network, or through its memory."""

from __future__ import annotations

import math
from typing import NamedTuple

from npusim.engine.event.setting import StepSetting
from npusim.hardware.reductions import TWO_LEVEL, reduction_traffic
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.units.contraction_processor.fusion import clocked, clusters_at_work
from npusim.kernels.units.contraction_processor.reduction import fastest_topology


class Joining(NamedTuple):
    """fixed_s: of all messages; amount: bytes that they carry; passes: bytes of memory for one of them, 0 where they
    go over the chip's own network."""

    fixed_s: float
    amount: float
    passes: float


def joining(byte_count: float, setting: StepSetting) -> Joining:
    """A reduction of results of `byte_count` bytes over the PEs at work: `on_chip_reduction_time`, taken apart."""
    machine, pes = setting.machine, float(setting.pes)
    own = _by(int(machine["reduction_topology"]), byte_count, setting)
    chosen, factor = float(machine["reduction_chosen"]), 1.0
    measured = machine["reduction_measured_pes"]
    if pes > measured:
        factor = float(machine["reduction_further"]) ** math.log2(pes / measured)
    if chosen > 0.0:
        other = _by(int(fastest_topology(byte_count, machine, pes)), byte_count, setting)
        if _seconds(other, setting) < _seconds(own, setting):
            own = _between(own, other, chosen, setting)
    return Joining(own.fixed_s * factor, own.amount * factor, own.passes)


def _by(topology: int, byte_count: float, setting: StepSetting) -> Joining:
    """The reduction by one topology, in the groups in which it is the fastest."""
    machine, pes = setting.machine, float(setting.pes)
    message_s = float(clocked(machine["reduction_message"], machine))
    found = []
    for groups in _groups(topology, setting):
        messages, carried, passes = reduction_traffic(topology, pes, groups)
        seconds = messages * message_s + carried * byte_count / float(machine["reduction_bandwidth"])
        found.append((seconds, messages, carried, passes))
    _, messages, carried, passes = min(found)
    return Joining(messages * message_s, (carried if passes == 0.0 else 1.0) * byte_count, passes)


def _between(own: Joining, other: Joining, part: float, setting: StepSetting) -> Joining:
    """The mean of reductions of which the fraction `part` goes another way, over the chip's own network."""
    fixed_s = (1.0 - part) * own.fixed_s + part * other.fixed_s
    if own.passes == 0.0:
        return Joining(fixed_s, (1.0 - part) * own.amount + part * other.amount, 0.0)
    return Joining(
        fixed_s + part * other.amount / float(setting.machine["reduction_bandwidth"]),
        (1.0 - part) * own.amount,
        own.passes,
    )


def _seconds(joined: Joining, setting: StepSetting) -> float:
    """Seconds of a reduction that has the network, or the memory, for itself."""
    if joined.passes == 0.0:
        return joined.fixed_s + joined.amount / float(setting.machine["reduction_bandwidth"])
    rate = float(stream_bandwidth(setting.machine, float(setting.pes)))
    return joined.fixed_s + joined.passes * joined.amount / rate


def _groups(topology: int, setting: StepSetting) -> list[float]:
    """Numbers of equal groups in which a reduction may go: the clusters; in two levels also parts of them."""
    machine, pes = setting.machine, setting.pes
    clusters = int(clusters_at_work(float(pes), machine))
    if topology != TWO_LEVEL:
        return [float(clusters)]
    return [float(groups) for groups in range(clusters, pes + 1) if pes % groups == 0]
