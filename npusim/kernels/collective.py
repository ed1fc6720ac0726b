"""Time of reductions: over the PEs of a chip, and collectives over chips (alpha-beta forms)."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.mapping.optable import ALL_REDUCE


@kernel
def on_chip_reduction_time(byte_count, machine, pes):
    """Seconds to sum `pes` partial results of `byte_count` bytes: N (N - 1) messages, one after the other.

    2.0-3.7 / 10.5-13.5 / 50-65 us over 2 / 4 / 8 PEs of RNGD for 8 KB
    (swsok/heteropilot experiments/results/rngd_collective_measured.md); a message carries 1/N of the result.
    """
    if pes < 2.0:
        return 0.0
    messages = pes * (pes - 1.0)
    return messages * (machine.reduction_message + byte_count / pes / machine.reduction_bandwidth)


@kernel
def collective_time(op, byte_count, ranks, machine):
    """Seconds of a collective over `ranks` chips: the fastest of one-shot, two-shot and ring.

    One-shot a + (p-1) n b; two-shot 2a + 2 (p-1)/p n b; ring 2 (p-1) a + 2 (p-1)/p n b; an all-gather moves half of
    an all-reduce (Thakur, Rabenseifner, Gropp 2005, "Optimization of Collective Communication Operations in MPICH").
    The link is the card's own between its chips where they hold all ranks, else the one between cards.
    """
    on_card = ranks <= machine.chips and machine.chips > 1.0
    latency = machine.chip_link_latency if on_card else machine.card_link_latency
    bandwidth = (
        machine.chip_link_bandwidth * machine.chip_link_efficiency
        if on_card
        else machine.card_link_bandwidth * machine.card_link_efficiency
    )
    whole = byte_count / bandwidth
    part = (ranks - 1.0) / ranks * whole
    if op == ALL_REDUCE:
        ring = 2.0 * (ranks - 1.0) * latency + 2.0 * part
        return min(latency + (ranks - 1.0) * whole, min(2.0 * latency + 2.0 * part, ring))
    return latency + part
