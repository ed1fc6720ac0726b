"""Main memory of a chip: channels, access unit, what of its peak and of its size can be used."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from npusim.hardware.address_map import AddressMap
from npusim.hardware.base import Part
from npusim.hardware.stream_memo import derived_stream
from npusim.ledger import Bandwidth, Bytes, Count, Ratio


class Memory(Part):
    """`channels` of `channel_bandwidth` each, read in units of `access_unit`.

    dram, address_map: the DRAM standard (arch_configs/memories) and how addresses spread over it; stream_efficiency:
    part of the peak that long aligned streams reach, by default that of the DRAM model under this map;
    stream_residual: part of it that is reached for what the model leaves out (1 if not given); hot_efficiency: part
    of that which is left when the memory is hot and refreshes more often; contention_sharpness: exponent with which
    the rates of several streaming engines bend into the memory's own limit (large = a hard corner).
    """

    technology: Literal["hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4", "gddr6", "gddr7", "lpddr5x", "lpddr6"]
    stacks: Count
    channels_per_stack: Count
    channel_bandwidth: Bandwidth
    access_unit: Bytes
    capacity: Bytes
    usable_capacity: Bytes
    dram: str | None = None
    address_map: AddressMap | None = None
    stream_efficiency: Ratio
    stream_residual: Ratio | None = None
    hot_efficiency: Ratio
    contention_sharpness: Count

    @model_validator(mode="before")
    @classmethod
    def _stream_of_the_dram(cls, data: Any) -> Any:
        """A stream efficiency that is not given is that of the DRAM standard under the address map."""
        if not isinstance(data, dict) or "dram" not in data or "stream_efficiency" in data:
            return data
        missing = [key for key in ("address_map", "access_unit", "channel_bandwidth") if key not in data]
        if missing:
            raise ValueError(f"'dram' needs {', '.join(missing)} to derive stream_efficiency; add that, or give it")
        return {**data, "stream_efficiency": derived_stream(data)}

    @property
    def peak_bandwidth_bytes_per_s(self) -> float:
        return self.stacks.value * self.channels_per_stack.value * self.channel_bandwidth.value
