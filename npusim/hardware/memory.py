"""Main memory of a chip: channels, access unit, what of its peak and of its size can be used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from npusim.hardware.address_map import AddressMap
from npusim.hardware.base import Part
from npusim.hardware.stream_memo import derived_stream
from npusim.ledger import Bandwidth, Bytes, Efficiency, Few, Quantity, in_unit

Residual = Annotated[Quantity, in_unit("", least=0.5, most=1.5)]
Sharpness = Annotated[Quantity, in_unit("", least=1.0, most=1000.0)]
_STREAM_NEEDS = ("dram", "address_map", "access_unit", "channel_bandwidth")


class Memory(Part):
    """`channels` of `channel_bandwidth` each, read in units of `access_unit`.

    dram, address_map: the DRAM standard (arch_configs/memories) and how addresses spread over it; stream_efficiency:
    part of the peak that long aligned streams reach, by default that of the DRAM model under this map;
    stream_residual: part of it that is reached for what the model leaves out (1 if not given); hot_efficiency: part
    of that which is left when the memory is hot and refreshes more often; contention_sharpness: exponent with which
    the rates of several streaming engines bend into the memory's own limit (large = a hard corner).
    """

    technology: Literal["hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4", "gddr6", "gddr7", "lpddr5x", "lpddr6"]
    stacks: Few
    channels_per_stack: Few
    channel_bandwidth: Bandwidth
    access_unit: Bytes
    capacity: Bytes
    usable_capacity: Bytes
    dram: str | None = None
    address_map: AddressMap | None = None
    stream_efficiency: Annotated[Efficiency, Field(validate_default=True)] = None  # type: ignore[assignment]
    stream_residual: Residual | None = None
    hot_efficiency: Efficiency
    contention_sharpness: Sharpness

    @model_validator(mode="after")
    def _usable_is_part_of_it(self) -> Memory:
        if self.usable_capacity.value > self.capacity.value:
            raise ValueError(
                f"usable_capacity {self.usable_capacity.text} is more than the capacity, {self.capacity.text}"
            )
        return self

    @field_validator("stream_efficiency", mode="before")
    @classmethod
    def _of_the_dram(cls, given: Any, info: ValidationInfo) -> Any:
        """A stream efficiency that is not given is that of the DRAM standard under the address map."""
        known = info.data
        if given is not None:
            return given
        missing = [key for key in _STREAM_NEEDS if known.get(key) is None]
        if missing:
            raise ValueError(f"stream_efficiency is missing; give it, or {', '.join(missing)} to derive it from")
        return derived_stream(
            known["dram"], known["address_map"], known["access_unit"].value, known["channel_bandwidth"].value
        )

    @property
    def peak_bandwidth_bytes_per_s(self) -> float:
        return self.stacks.value * self.channels_per_stack.value * self.channel_bandwidth.value
