"""Which PEs of a chip work on a step: numbers that a compiler may fuse, and the clusters that they are in."""

from __future__ import annotations

import math

from npusim.compilation import kernel

_SERIES = (1.0, 3.0, 5.0)
"""Fused PEs are a power of two times one of these, by which the shapes of models divide (an assumption: RNGD's compiler
fuses 1, 2, 4 and 8). What can be fused on a chip can be fused on a larger one, so that no PE is in the way."""


@kernel
def pes_of(machine):
    """PEs that the chip has."""
    return math.floor(machine.tcp_clusters) * math.floor(machine.tcp_pes_per_cluster)


@kernel
def fusions(machine, runtime, sizes):
    """Fill `sizes` with the numbers of PEs that the compiler may fuse; returns how many they are.

    What the runtime fixes (`pe_fusion`), where the chip has so many PEs; else, and beyond it where the runtime lets
    its compiler go further, every number that the chip has room for.
    """
    existing = pes_of(machine)
    least = 1.0
    fixed = runtime.pe_fusion <= existing
    if fixed:
        sizes[0] = runtime.pe_fusion
        if not runtime.pes_beyond_fused:
            return 1
        least = runtime.pe_fusion + 1.0
    count = 1 if fixed else 0
    for odd in _SERIES:
        pes = odd
        while pes <= existing:
            if pes >= least and pes % clusters_at_work(pes, machine) == 0.0:
                sizes[count] = pes
                count += 1
            pes *= 2.0
    return count


@kernel
def clusters_at_work(pes, machine):
    """Clusters in which `pes` fused PEs are: as few as hold them in equal parts, or all."""
    clusters = math.ceil(pes / machine.tcp_pes_per_cluster)
    while pes % clusters != 0.0 and clusters < machine.tcp_clusters:
        clusters += 1
    return float(clusters)


@kernel
def clocked(seconds, machine):
    """A time that was measured at `timing_clock`, of a program, a command or a message, at the chip's clock."""
    return seconds * machine.tcp_timing_clock / machine.tcp_clock
