"""Time to sum the partial results of fused PEs."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.hardware.reductions import CHOICES, TWO_LEVEL, reduction_traffic
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.units.contraction_processor.fusion import clocked, clusters_at_work

_PARTS = (1.0, 2.0, 4.0, 8.0)
"""Numbers of parts in which a reduction may be done."""


@kernel
def on_chip_reduction_time(byte_count, machine, pes):
    """Seconds to sum `pes` partial results of `byte_count` bytes by the chip's topology, or by the fastest that the
    compiler may choose, for the fraction `chosen` of the reductions: their mean.

    2.0-3.7 / 10.5-13.5 / 50-65 us over 2 / 4 / 8 PEs of RNGD for 8 KB
    (swsok/heteropilot experiments/results/rngd_collective_measured.md). Over more PEs than were measured the formula is
    an extrapolation: each doubling takes the factor `further`, which has a range.
    """
    if pes < 2.0:
        return 0.0
    seconds = topology_time(machine.reduction_topology, byte_count, machine, pes)
    if machine.reduction_chosen > 0.0:
        fastest = topology_time(fastest_topology(byte_count, machine, pes), byte_count, machine, pes)
        seconds += machine.reduction_chosen * (min(fastest, seconds) - seconds)
    if pes > machine.reduction_measured_pes:
        seconds *= machine.reduction_further ** math.log2(pes / machine.reduction_measured_pes)
    return seconds


@kernel
def fastest_topology(byte_count, machine, pes):
    """Code of the topology of least time among those of which a compiler chooses."""
    best, chosen = math.inf, CHOICES[0]
    for topology in CHOICES:
        seconds = topology_time(topology, byte_count, machine, pes)
        if seconds < best:
            best, chosen = seconds, topology
    return chosen


@kernel
def topology_time(topology, byte_count, machine, pes):
    """Seconds of the sum by one topology. Groups of two levels are the clusters, or parts of them where that is
    faster."""
    groups = clusters_at_work(pes, machine)
    seconds = _grouped_reduction_time(topology, byte_count, machine, pes, groups)
    while topology == TWO_LEVEL and groups < pes:
        groups += 1.0
        if pes % groups == 0.0:
            seconds = min(seconds, _grouped_reduction_time(topology, byte_count, machine, pes, groups))
    return seconds


@kernel
def _grouped_reduction_time(topology, byte_count, machine, pes, groups):
    """Seconds of the sum by a topology's formula, the PEs in `groups` equal groups."""
    messages, carried, through_memory = reduction_traffic(topology, pes, groups)
    seconds = messages * clocked(machine.reduction_message, machine)
    seconds += carried * byte_count / machine.reduction_bandwidth
    if through_memory > 0.0:
        seconds += through_memory * byte_count / stream_bandwidth(machine, pes)
    return seconds


@kernel
def exposed_reduction_time(byte_count, busy_s, tiles, machine, pes):
    """Seconds by which joining the PEs' partial results outlasts the `busy_s` of `tiles` tiles that make them.

    Results may be joined in parts, each while later tiles are computed; more parts cost more messages.
    """
    best = on_chip_reduction_time(byte_count, machine, pes)
    for parts in _PARTS:
        if parts <= tiles:
            each = on_chip_reduction_time(byte_count / parts, machine, pes)
            best = min(best, max(each, busy_s / parts + parts * each - busy_s))
    return best
