"""Time to sum the partial results of fused PEs."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.hardware.reductions import reduction_traffic
from npusim.kernels.memory import stream_bandwidth
from npusim.kernels.units.contraction_processor.fusion import clocked, clusters_at_work


@kernel
def on_chip_reduction_time(byte_count, machine, pes):
    """Seconds to sum `pes` partial results of `byte_count` bytes by the chip's topology.

    2.0-3.7 / 10.5-13.5 / 50-65 us over 2 / 4 / 8 PEs of RNGD for 8 KB
    (swsok/heteropilot experiments/results/rngd_collective_measured.md). Over more PEs than were measured the formula is
    an extrapolation: each doubling takes the factor `further`, which has a range.
    """
    if pes < 2.0:
        return 0.0
    messages, carried, through_memory = reduction_traffic(
        machine.reduction_topology, pes, clusters_at_work(pes, machine)
    )
    seconds = (
        messages * clocked(machine.reduction_message, machine) + carried * byte_count / machine.reduction_bandwidth
    )
    if through_memory > 0.0:
        seconds += through_memory * byte_count / stream_bandwidth(machine, pes)
    if pes > machine.reduction_measured_pes:
        seconds *= machine.reduction_further ** math.log2(pes / machine.reduction_measured_pes)
    return seconds
