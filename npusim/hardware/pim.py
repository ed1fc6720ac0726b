"""Processing in memory: MAC units beside the banks of a DRAM, as a component that drops into any memory.

A unit is described by its hooks, one for each thing that costs time: `broadcast` (inputs come in), `mac` (columns are
multiplied), `activation` (rows of all banks are opened), `reduction` (results leave), `mode` (the memory turns into a
calculator and back), `barrier` and `fence` (order among commands, and with the host), and by the operations that its
command set maps: `linear`, `attention`, `streams`. The timings of its commands are those of the memory.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from npusim.hardware.base import Part
from npusim.hardware.dram import Dram
from npusim.hardware.named import named, with_base
from npusim.ledger import (
    Bytes,
    BytesOrZero,
    Count,
    Cycles,
    CyclesOrZero,
    Duration,
    Efficiency,
    EnergyPerByte,
    EnergyPerOp,
    Few,
    FewOrZero,
    Fraction,
    Ratio,
    Stretch,
    Tokens,
)


class PimRates(Part):
    """Multiply-accumulates of one unit per MAC command by weight and activation type; one left out is not native."""

    bf16: Count | None = None
    fp16: Count | None = None
    int8: Count | None = None
    w4a8: Count | None = None
    w8a16: Count | None = None
    w4a16: Count | None = None


class Broadcast(Part):
    """Inputs go to all units of a channel at once.

    buffer: bytes of input that are held; interval: between two writes of one access; setup: beside them, each load;
    over_bus: True where the writes use the data pins, so that the bus turns before and after.
    """

    buffer: Bytes
    interval: Cycles
    setup: CyclesOrZero
    over_bus: bool


class Mac(Part):
    """One MAC command makes every unit of a channel multiply one access (column) of its bank.

    units: of a channel that work at once; interval: between two MAC commands; power_factor: what a power limit
    stretches the interval by (1: no limit).
    """

    units: Few
    interval: Cycles
    power_factor: Stretch
    rates: PimRates


class Activation(Part):
    """Rows of all banks are opened together.

    banks: to be opened in a channel; banks_per_command: that one command opens, tFAW and tRRD holding between
    commands; to_mac: activation to first MAC, the memory's tRCDRD where it is left out; interleaved_banks: banks of one
    unit that take turns, so that one opens while another is read; early: True where a tile's first activation is hidden
    behind the broadcast.
    """

    banks: Few
    banks_per_command: Few
    to_mac: Cycles | None = None
    interleaved_banks: Few
    early: bool


class PimReduction(Part):
    """Results leave the units. accumulators: outputs that a unit holds; time: for all of them, each time that they are
    written; output_bytes: of each output that the host then reads."""

    accumulators: Count
    time: CyclesOrZero
    output_bytes: BytesOrZero


class Mode(Part):
    """The memory is switched to all-bank operation and back. commands: that this takes, both ways; parked_banks: banks
    that are read once before and once after, so that they stand in a known state."""

    commands: FewOrZero
    parked_banks: FewOrZero


class Barrier(Part):
    """Between groups of commands that must not overtake each other; after each load and each group of MACs."""

    time: CyclesOrZero
    macs: Count


class Fence(Part):
    """The host waits until its writes have arrived. per_load: fences of each broadcast; per_operation: of each kernel
    call."""

    time: Duration
    per_load: Ratio
    per_operation: Ratio


class LinearMapping(Part):
    """Matrix-vector products. keeps: what stays in the units while the other is changed: `inputs` (partial results of
    each slice of inputs leave) or `outputs` (inputs are loaded again for each group of outputs). balanced: True where
    outputs are spread evenly over groups, False where each group uses all accumulators, filled or not."""

    keeps: Literal["inputs", "outputs"]
    balanced: bool


class HeadMapping(Part):
    """Attention. channels: over which one KV head lies; dimension_ways: parts of the head dimension in different units,
    the rest of them share the tokens; softmax: where it is computed; overlapped: True where scores and inputs of one
    head move while another is multiplied; lone_tokens: from which on a head without a partner takes as long
    as two, in proportion below."""

    channels: Few
    dimension_ways: Few
    softmax: Literal["memory", "host"]
    overlapped: bool
    lone_tokens: Tokens | None = None

    @model_validator(mode="after")
    def _partners_are_told(self) -> HeadMapping:
        if self.overlapped != (self.lone_tokens is not None):
            raise ValueError("lone_tokens belongs to heads that are overlapped; give both or neither")
        return self


class StreamMapping(Part):
    """Element-wise operations through the units. banks: of one unit, whose columns it uses one after the other."""

    banks: Few


class PimUnit(Part):
    """Units of one channel; see the module."""

    broadcast: Broadcast
    mac: Mac
    activation: Activation
    reduction: PimReduction
    mode: Mode
    barrier: Barrier
    fence: Fence
    linear: LinearMapping | None = None
    attention: HeadMapping | None = None
    streams: StreamMapping | None = None


class PimEnergy(Part):
    """column: from the bank to its unit, beside the row; mac: one multiply-accumulate by weight type; command energies
    of the array are the memory's."""

    column: EnergyPerByte
    mac_16bit: EnergyPerOp
    mac_8bit: EnergyPerOp
    mac_4bit: EnergyPerOp


class Sharing(Part):
    """How the units and the host share one memory.

    host_layout_efficiency: part of the stream rate that the host keeps when it reads weights laid out for the units;
    beside_host: part of the host's memory time that can pass while the units work (0: all banks are theirs).
    """

    host_layout_efficiency: Efficiency
    beside_host: Fraction


class Refreshing(Part):
    """exposed: part of a refresh in which the units stand still; phase: of the refresh interval that has passed when an
    operation of its own begins."""

    exposed: Fraction
    phase: Fraction


class Pim(Part):
    """A memory with units. channels: command channels (pseudo-channels, sub-channels) that carry them.

    silicon: True where a device of this kind has been made and published. placements: the memories that have these
    units elsewhere (bank, bank_group, buffer), by name.
    """

    name: str
    title: str
    silicon: bool
    aliases: tuple[str, ...] = ()
    placements: dict[str, str] = Field(default_factory=dict)
    note: str = ""
    memory: Annotated[Dram, named("memories")]
    channels: Few
    unit: PimUnit
    refresh: Refreshing
    sharing: Sharing
    energy: PimEnergy

    @model_validator(mode="before")
    @classmethod
    def _on_its_base(cls, data: Any) -> Any:
        return with_base("pims", data)

    @model_validator(mode="after")
    def _units_fit_the_banks(self) -> Pim:
        mac, activation = self.unit.mac, self.unit.activation
        if mac.units.value > activation.banks.value:
            raise ValueError(
                f"{mac.units.value:g} units, but only {activation.banks.value:g} banks are opened for them"
            )
        if mac.interval.value < self.memory.timing.tCCD_S.value:
            raise ValueError(f"a MAC every {mac.interval.text} is faster than the memory's columns (tCCD_S)")
        return self

    @property
    def external_bandwidth_bytes_per_s(self) -> float:
        return self.channels.value * self.memory.peak_bandwidth.value

    @property
    def all_bank_bandwidth_bytes_per_s(self) -> float:
        """What all units read together between activations, without a power limit."""
        column = self.memory.organisation.access.value
        per_clock = self.channels.value * self.unit.mac.units.value * column / self.unit.mac.interval.value
        return per_clock / self.memory.clock_period_s


PimPart = Annotated[Pim, named("pims")]
