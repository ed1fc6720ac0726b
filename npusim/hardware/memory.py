"""Main memory of a chip: channels, access unit, what of its peak and of its size can be used."""

from __future__ import annotations

from typing import Literal

from npusim.hardware.base import Part
from npusim.ledger import Bandwidth, Bytes, Count, Ratio


class Memory(Part):
    """`channels` of `channel_bandwidth` each, read in units of `access_unit`.

    stream_efficiency: part of the peak that long aligned streams reach; hot_efficiency: part of that which is left
    when the memory is hot and refreshes more often; contention_sharpness: exponent with which the
    rates of several streaming engines bend into the memory's own limit (large = a hard corner).
    """

    technology: Literal["hbm2e", "hbm3", "hbm3e", "hbm4", "gddr6", "gddr7", "lpddr5x", "lpddr6"]
    stacks: Count
    channels_per_stack: Count
    channel_bandwidth: Bandwidth
    access_unit: Bytes
    capacity: Bytes
    usable_capacity: Bytes
    stream_efficiency: Ratio
    hot_efficiency: Ratio
    contention_sharpness: Count

    @property
    def peak_bandwidth_bytes_per_s(self) -> float:
        return self.stacks.value * self.channels_per_stack.value * self.channel_bandwidth.value
