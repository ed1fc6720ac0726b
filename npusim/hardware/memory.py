"""Main memory of a chip: channels, access unit, and how much of its peak rate and capacity can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from npusim.errors import UserError
from npusim.hardware.address_map import AddressMap, fitted
from npusim.hardware.base import Part
from npusim.hardware.description import part_file
from npusim.hardware.dram import Dram
from npusim.hardware.stream_memo import derived_stream, is_derived_stream
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Bandwidth, Bytes, Efficiency, Few, Fraction, Quantity, in_unit

_Residual = Annotated[Quantity, in_unit("", least=0.5, most=1.5)]
"""A factor near 1: beyond it the model is wrong, not incomplete."""
_Share = Annotated[Quantity, in_unit("", zero=True, most=0.99)]
"""What others take of a memory: never all of it."""
Sharpness = Annotated[Quantity, in_unit("", least=1.0, most=1000.0)]
"""The exponent of a norm; beyond 1000 the corner is hard in floating point."""
_STREAM_NEEDS = ("dram", "address_map", "access_unit", "channel_bandwidth")

_WITH_METADATA = "lpddr6"
"""Technology whose bursts carry metadata beside data."""
TECHNOLOGIES = ("hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4", "gddr6", "gddr7", "lpddr5x", "lpddr6")
"""Kinds of DRAM of chips; a DRAM standard that a chip names may be of another family."""


@remembered
def standard(name_or_path: str) -> Dram:
    """The DRAM standard that a description names. Raises UserError for an unknown one."""
    return load_yaml(part_file(Dram.FOLDER, name_or_path), Dram)


class Memory(Part):
    """Stacks of channels that the compute unit reads in access units."""

    dram: str | None = None
    """DRAM standard, by its name in arch_configs/memories or the path of a file."""
    technology: str
    """Kind of DRAM, such as hbm3e or lpddr6; a kind that is not listed must be the family of `dram`."""
    stacks: Few
    """Number of stacks or packages."""
    channels_per_stack: Few
    """Number of channels of a stack or package."""
    channel_bandwidth: Bandwidth
    """Peak rate of one channel, in bytes/s."""
    access_unit: Bytes
    """Smallest aligned piece that is fetched, in bytes."""
    capacity: Bytes
    """Installed capacity, in bytes, which bounds `usable_capacity` and has its price."""
    usable_capacity: Bytes
    """Capacity left to weights, KV cache and runtime, in bytes, which decides what fits."""
    metadata_carve_out: Fraction | None = None
    """Fraction of the usable capacity, 0 to 1, that metadata takes from data in LPDDR6, whose bursts carry it; none if
    omitted, and none of another technology, also where a description that is extended has it."""
    address_map: AddressMap | None = None
    """How addresses spread over stacks, channels, banks, rows and columns, derived anew for other numbers of stacks and
    channels; needed to derive the stream efficiency from `dram`."""
    stream_efficiency: Annotated[Efficiency, Field(validate_default=True)] = None  # type: ignore[assignment]
    """Fraction of the peak, 0 to 1, that long aligned streams reach; derived from the DRAM model if omitted."""
    stream_residual: _Residual | None = None
    """Factor on the stream efficiency for what the DRAM model leaves out, 1 if omitted."""
    hot_efficiency: Efficiency
    """Fraction of the stream rate, 0 to 1, that is left when the memory is hot and refreshes more often."""
    host_share: _Share | None = None
    """Fraction of the rate of the memory, 0 to 0.99, that the processors of a host take which shares it, from
    streams and from PIM units alike; none if omitted."""
    contention_sharpness: Sharpness
    """Exponent with which the rates of several streaming engines bend into the memory's own limit; a large one is a
    hard corner."""

    @model_validator(mode="before")
    @classmethod
    def _metadata_is_of_its_technology(cls, given: Any) -> Any:
        """Memory of another technology does not inherit what LPDDR6 keeps metadata in (JESD209-6)."""
        if isinstance(given, dict) and not str(given.get("technology", "")).startswith(_WITH_METADATA):
            return {key: value for key, value in given.items() if key != "metadata_carve_out"}
        return given

    @model_validator(mode="after")
    def _usable_is_part_of_it(self) -> Memory:
        if self.usable_capacity.value > self.capacity.value:
            raise ValueError(
                f"usable_capacity {self.usable_capacity.text} is more than the capacity, {self.capacity.text}"
            )
        return self

    @field_validator("dram")
    @classmethod
    def _of_a_standard(cls, given: str | None) -> str | None:
        """A shipped name as it is; a path as it is found from this description."""
        if not given:
            return given
        try:
            path = str(part_file("memories", given)) if Path(given).suffix else given
            standard(path)
        except UserError as error:
            raise ValueError(f"'{given}' is no DRAM standard: {error}") from error
        return path

    @field_validator("technology")
    @classmethod
    def _known(cls, given: str, info: ValidationInfo) -> str:
        named = info.data.get("dram")
        if given in TECHNOLOGIES or (named and standard(named).family == given):
            return given
        known = ", ".join(f"'{name}'" for name in TECHNOLOGIES)
        raise ValueError(f"should be {known}, or the family of the standard under 'dram'")

    @field_validator("address_map")
    @classmethod
    def _fitted(cls, given: AddressMap | None, info: ValidationInfo) -> AddressMap | None:
        """The map for the stacks and channels that there are, checked against the DRAM standard."""
        known = info.data
        if given is None or known.get("stacks") is None or known.get("channels_per_stack") is None:
            return given
        channels = int(known["channels_per_stack"].value)
        if known.get("dram"):
            _check_geometry(standard(known["dram"]), given, channels)
        return fitted(given, int(known["stacks"].value), channels)

    @field_validator("stream_efficiency", mode="before")
    @classmethod
    def _of_the_dram(cls, given: Any, info: ValidationInfo) -> Any:
        """A stream efficiency that is not given is that of the DRAM standard under the address map."""
        known = info.data
        if is_derived_stream(given) and known.get("address_map") is not None:
            return derived_stream(standard(known["dram"]), known["address_map"], known["access_unit"].value, None)
        if given is not None:
            return given
        missing = [key for key in _STREAM_NEEDS if known.get(key) is None]
        if missing:
            raise ValueError(f"stream_efficiency is missing; give it, or {', '.join(missing)} to derive it from")
        return derived_stream(
            standard(known["dram"]), known["address_map"], known["access_unit"].value, known["channel_bandwidth"].value
        )

    def of(self, dram: Dram) -> Memory:
        """The memory, of a standard with other numbers than the one that it names, where its streams follow from it.

        Raises ValueError where the address map is not that of the standard.
        """
        if self.address_map is None:
            return self
        _check_geometry(dram, self.address_map, int(self.channels_per_stack.value))
        if not is_derived_stream(self.stream_efficiency):
            return self
        told = derived_stream(dram, self.address_map, self.access_unit.value, None)
        same = self.stream_efficiency.model_copy(update=told | {"text": f"{told['value']:g}"})
        return self.model_copy(update={"stream_efficiency": same})

    @property
    def data_bytes(self) -> float:
        """Usable capacity that metadata leaves."""
        carved = 0.0 if self.metadata_carve_out is None else self.metadata_carve_out.value
        return self.usable_capacity.value * (1.0 - carved)

    @property
    def peak_bandwidth_bytes_per_s(self) -> float:
        return self.stacks.value * self.channels_per_stack.value * self.channel_bandwidth.value


def _check_geometry(dram: Dram, mapping: AddressMap, channels: int) -> None:
    """Raises ValueError where the coordinates of a map are not those of a channel of the DRAM standard.

    Ranks and rows may be fewer: a published map may leave out its upper bits.
    """
    shape = dram.organisation
    if shape.stack_channels is not None and channels > shape.stack_channels.value:
        raise ValueError(
            f"channels_per_stack {channels} is more than the {shape.stack_channels.value:g} that a stack of "
            f"{dram.name} has; lower it, or add stacks"
        )
    columns = shape.row.value / shape.access.value
    whole = {
        "pseudo_channel": shape.pseudo_channels.value,
        "bank_group": shape.bank_groups.value,
        "bank": shape.banks_per_group.value,
        "column": columns,
    }
    for name, has in whole.items():
        reached = 1 << len(getattr(mapping, name))
        if reached != has:
            raise ValueError(f"{name} reaches {reached}, but {dram.name} has {has:g}; mend one of them")
    for name, has in (("rank", shape.ranks.value), ("row", shape.rows.value)):
        reached = 1 << len(getattr(mapping, name))
        if reached > has:
            raise ValueError(f"{name} reaches {reached}, but {dram.name} has only {has:g}; mend one of them")
