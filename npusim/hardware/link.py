"""Links: between the parts of a chip, between chips, between cards, and to the host."""

from __future__ import annotations

from npusim.hardware.base import Part
from npusim.ledger import Bandwidth, Duration, Ratio


class Link(Part):
    """One direction of a link: time = latency + bytes / (bandwidth x efficiency)."""

    name: str
    bandwidth: Bandwidth
    latency: Duration
    efficiency: Ratio


class Reduction(Part):
    """On-chip reduction of partial sums over the PEs that share a row-parallel contraction.

    Every PE sends its partial result to every other; the messages of one reduction pass one after the other, so
    N PEs cost N (N - 1) message times.
    """

    message: Duration
    bandwidth: Bandwidth
