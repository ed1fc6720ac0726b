"""Links: between the parts of a chip, between chips, between cards, and to the host."""

from __future__ import annotations

from typing import Literal

from npusim.hardware.base import Part
from npusim.hardware.reductions import TOPOLOGIES
from npusim.ledger import Bandwidth, Bytes, BytesOrZero, Duration, Efficiency, Few, Fraction, Ratio


class Packet(Part):
    """Packets of a link, such as those of PCI Express 5.0 with framing, header and check."""

    payload: Bytes
    """Payload of a packet, in bytes."""
    header: BytesOrZero
    """Header and framing sent with each payload, in bytes."""


class Link(Part):
    """One direction of a link: time = latency + bytes / (bandwidth x efficiency x packet efficiency)."""

    name: str
    """Name of the link's standard or maker's term, for people."""
    bandwidth: Bandwidth
    """Raw rate of one direction, in bytes/s."""
    latency: Duration
    """Time until the first byte arrives, in seconds."""
    efficiency: Efficiency
    """Fraction of the raw rate, 0 to 1, that flow control and the engines leave."""
    packet: Packet | None = None
    """Packet format; omitted where the efficiency already includes headers."""

    @property
    def rate_bytes_per_s(self) -> float:
        """Payload rate, in bytes/s."""
        rate = self.bandwidth.value * self.efficiency.value
        if self.packet is None:
            return rate
        return rate * self.packet.payload.value / (self.packet.payload.value + self.packet.header.value)


class OnChipReduction(Part):
    """On-chip reduction of partial sums over the PEs that share a row-parallel contraction.

    Messages of a reduction are sent one after the other; how many there are follows from the topology.
    """

    topology: Literal[tuple(TOPOLOGIES)] = "all_pairs"  # type: ignore[valid-type]
    """Who sends to whom: `ring`, `all_pairs`, `two_level` (within clusters, then across), `tree`, or through main
    `memory`; all pairs, as measured on RNGD, if omitted."""

    message: Duration
    """Fixed time of one message between two PEs, in seconds."""
    bandwidth: Bandwidth
    """Rate at which a message's partial sums move between PEs, in bytes/s."""
    measured_pes: Few | None = None
    """Largest number of PEs over which the reduction was measured; any, if omitted."""
    further: Ratio | None = None
    """Factor on the formula for each doubling of PEs beyond those measured, where more are fused; 1 if omitted."""
    chosen: Fraction | None = None
    """Fraction of the reductions, 0 to 1, for which the compiler takes the fastest topology that leaves main memory
    alone, in place of `topology`; none if omitted."""
