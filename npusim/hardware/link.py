"""Links: between the parts of a chip, between chips, between cards, and to the host."""

from __future__ import annotations

from npusim.hardware.base import Part
from npusim.ledger import Bandwidth, Bytes, BytesOrZero, Duration, Efficiency


class Packet(Part):
    """A link's packets: `header` bytes beside each `payload` bytes (PCI Express 5.0: framing, header and check)."""

    payload: Bytes
    header: BytesOrZero


class Link(Part):
    """One direction of a link: time = latency + bytes / (bandwidth x efficiency x packet efficiency).

    efficiency: what flow control and the engines leave; packet: where headers are not in the efficiency already.
    """

    name: str
    bandwidth: Bandwidth
    latency: Duration
    efficiency: Efficiency
    packet: Packet | None = None

    @property
    def rate_bytes_per_s(self) -> float:
        """What passes of payload."""
        rate = self.bandwidth.value * self.efficiency.value
        if self.packet is None:
            return rate
        return rate * self.packet.payload.value / (self.packet.payload.value + self.packet.header.value)


class OnChipReduction(Part):
    """On-chip reduction of partial sums over the PEs that share a row-parallel contraction.

    Every PE sends its partial result to every other; the messages of one reduction pass one after the other, so
    N PEs cost N (N - 1) message times.
    """

    message: Duration
    bandwidth: Bandwidth
