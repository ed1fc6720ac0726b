"""Processing in memory: MAC units beside the banks of a DRAM, as a component that can be put into any memory.

A unit is described by its hooks, one for each thing that costs time: `broadcast` (inputs come in), `mac` (columns are
multiplied), `activation` (rows of all banks are opened), `reduction` (results leave), `mode` (the memory switches
between storing and computing), `barrier` and `fence` (order among commands, and with the host), and by the operations
that its command set maps: `linear`, `attention`, `streams`. The timings of its commands are those of the memory.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from npusim.hardware.base import Part
from npusim.hardware.description import Description, named
from npusim.hardware.dram import Dram
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
    Power,
    Ratio,
    Stretch,
    Tokens,
)


class PimRates(Part):
    """Multiply-accumulates of one unit per MAC command, by weight and activation type; an omitted one is not native."""

    bf16: Count | None = None
    """Number of multiply-accumulates per command with BF16 weights and activations."""
    fp16: Count | None = None
    """Number of multiply-accumulates per command with FP16 weights and activations."""
    int8: Count | None = None
    """Number of multiply-accumulates per command with INT8 weights and activations."""
    w4a8: Count | None = None
    """Number of multiply-accumulates per command with 4-bit weights and 8-bit activations."""
    w8a16: Count | None = None
    """Number of multiply-accumulates per command with 8-bit weights and 16-bit activations."""
    w4a16: Count | None = None
    """Number of multiply-accumulates per command with 4-bit weights and 16-bit activations."""


class Broadcast(Part):
    """Inputs go to all units of a channel at once."""

    buffer: Bytes
    """Input that a unit's buffer holds, in bytes."""
    interval: Cycles
    """Distance between two writes of one access, in cycles of the command clock."""
    setup: CyclesOrZero
    """Fixed time of each load beside its writes, in cycles of the command clock."""
    over_bus: bool
    """True where the writes use the data pins, so that the bus turns around before and after."""


class Mac(Part):
    """One MAC command makes every unit of a channel multiply one access (column) of its bank."""

    units: Few
    """Number of units of a channel that work at once."""
    per: Literal["bank", "bank_pair", "bank_group", "channel"]
    """What shares a unit: each `bank` has its own, or two banks (`bank_pair`), the banks of a group (`bank_group`) or
    all of a channel do; more units than that are refused."""
    interval: Cycles
    """Distance between two MAC commands, in cycles of the command clock."""
    power_factor: Stretch
    """Factor by which a power limit stretches the interval, 1 without a limit."""
    rates: PimRates
    """Multiply-accumulates per command by operand types."""


class Activation(Part):
    """Rows of all banks are opened together."""

    banks: Few
    """Number of banks of a channel that are opened."""
    banks_per_command: Few
    """Number of banks that one command opens, with tRRD and tFAW between commands."""
    to_mac: Cycles | None = None
    """Activation to first MAC command, in cycles; the memory's tRCDRD if omitted."""
    interleaved_banks: Few
    """Number of banks of one unit that take turns, so that one opens while another is read."""
    early: bool
    """True where the first activation of a tile is hidden behind the broadcast."""


class PimReduction(Part):
    """Results leave the units."""

    accumulators: Count
    """Number of outputs that a unit holds."""
    time: CyclesOrZero
    """Time to write out all accumulators once, in cycles of the command clock."""
    output_bytes: BytesOrZero
    """Size of an output as the host reads it, in bytes."""


class Mode(Part):
    """The memory is switched to all-bank operation and back."""

    commands: FewOrZero
    """Number of commands to switch there and back."""
    parked_banks: FewOrZero
    """Number of banks that are read once before and once after, to leave them in a known state."""


class Barrier(Part):
    """A wait between groups of commands that must not overtake each other."""

    time: CyclesOrZero
    """Time of a barrier, after each load and each group of MACs, in cycles of the command clock."""
    macs: Count
    """Number of MAC commands in a group."""


class Fence(Part):
    """The host waits until its writes have arrived."""

    time: Duration
    """Time of a fence, in seconds."""
    per_load: Ratio
    """Ratio of fences to broadcasts."""
    per_operation: Ratio
    """Ratio of fences to kernel calls."""


class LinearMapping(Part):
    """How matrix-vector products are spread over the units."""

    keeps: Literal["inputs", "outputs"]
    """What stays in the units: `inputs` (partial results leave for each slice of inputs) or `outputs` (inputs are
    loaded again for each group of outputs)."""
    balanced: bool
    """True where outputs are spread evenly over groups, False where each group uses all accumulators, filled or not."""


class HeadMapping(Part):
    """How attention heads are spread over channels and units."""

    channels: Few
    """Number of channels over which one KV head is spread."""
    dimension_ways: Few
    """Number of parts of the head dimension in different units, while the others share its tokens, where heads are
    overlapped."""
    softmax: Literal["memory", "host"]
    """Where the softmax is computed."""
    overlapped: bool
    """True where scores and inputs of one head move while another head is multiplied."""
    lone_tokens: Tokens | None = None
    """Context from which on a head without a partner takes as long as two, in tokens, in proportion below it."""

    @model_validator(mode="after")
    def _partners_are_told(self) -> HeadMapping:
        if self.overlapped != (self.lone_tokens is not None):
            raise ValueError("lone_tokens belongs to heads that are overlapped; give both or neither")
        return self


class StreamMapping(Part):
    """How element-wise operations run through the units."""

    banks: Few
    """Number of banks of one unit, whose columns it uses one after the other."""


class PimUnit(Part):
    """The hooks of the units of one channel, and the operations that their command set maps."""

    broadcast: Broadcast
    """How inputs come in."""
    mac: Mac
    """How columns are multiplied."""
    activation: Activation
    """How rows are opened."""
    reduction: PimReduction
    """How results leave."""
    mode: Mode
    """How the memory switches between storing and computing."""
    barrier: Barrier
    """Order among commands."""
    fence: Fence
    """Order with the host."""
    linear: LinearMapping | None = None
    """Mapping of matrix-vector products; not offered if omitted."""
    attention: HeadMapping | None = None
    """Mapping of attention heads; not offered if omitted."""
    streams: StreamMapping | None = None
    """Mapping of element-wise operations, for `npusim pim` alone; not offered if omitted."""


class PimEnergy(Part):
    """Energy of the units; the energies of the array's own commands are the memory's."""

    column: EnergyPerByte
    """Energy of moving a column from the bank to its unit, in joules per byte."""
    mac_16bit: EnergyPerOp
    """Energy of a multiply-accumulate with 16-bit weights, in joules, of units that multiply them."""
    mac_8bit: EnergyPerOp
    """Energy of a multiply-accumulate with 8-bit weights, in joules."""
    mac_4bit: EnergyPerOp
    """Energy of a multiply-accumulate with 4-bit weights, in joules."""


class Sharing(Part):
    """How the units and the host share one memory."""

    host_layout_efficiency: Efficiency
    """Fraction of the stream rate, 0 to 1, that the host keeps when it reads weights laid out for the units."""
    beside_host: Fraction
    """Fraction of the host's memory time, 0 to 1, that can pass while the units work; 0 where all banks are theirs."""


class Controller(Part):
    """What the memory controller does between the host and the units, and what it holds them to."""

    host_drain: CyclesOrZero
    """Time in which the host's outstanding requests leave a channel before the units have its banks, in cycles of the
    command clock."""
    power_budget: Power | None = None
    """Power that the units and the array of one channel may draw, in watts, to which MAC commands are slowed down; no
    limit if omitted."""


class Refreshing(Part):
    """What refresh costs the units."""

    exposed: Fraction
    """Fraction of a refresh, 0 to 1, during which the units wait."""
    phase: Fraction
    """Fraction of the refresh interval, 0 to 1, that has passed when an operation on its own begins."""
    hot_rate: Stretch
    """Factor on the rate of refreshes while the memory is hot, as units make it; 1 where it stays cool."""


class Pim(Description):
    """A memory with PIM units."""

    FOLDER = "pims"

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    silicon: bool
    """True where a device of this kind has been made and published."""
    aliases: tuple[str, ...] = ()
    """Other names under which it is found, none if omitted."""
    placements: dict[str, str] = Field(default_factory=dict)
    """Names of the memories that have these units elsewhere, by where (bank, bank_group, buffer)."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    memory: Annotated[Dram, named(Dram)]
    """DRAM standard, by its name in arch_configs/memories, by the path of a file or described in place."""
    channels: Few
    """Number of command channels (pseudo-channels, sub-channels) with units."""
    unit: PimUnit
    """Units of one channel."""
    refresh: Refreshing
    """Refresh while the units work."""
    controller: Controller
    """Arbitration between host and units, and their power."""
    sharing: Sharing
    """Sharing of the memory with the host."""
    energy: PimEnergy
    """Energy of the units."""

    @model_validator(mode="after")
    def _units_fit_the_banks(self) -> Pim:
        mac, activation, shape = self.unit.mac, self.unit.activation, self.memory.organisation
        sharing = {"bank": 1.0, "bank_pair": 2.0, "bank_group": shape.banks_per_group.value, "channel": shape.banks}
        most = shape.banks / sharing[mac.per]
        if mac.units.value > most:
            raise ValueError(
                f"unit.mac.units {mac.units.value:g} is more than one per {mac.per.replace('_', ' ')}: a channel of "
                f"{self.memory.name} has {shape.banks} banks, {most:g} units at most; lower it, or change unit.mac.per"
            )
        if activation.banks.value > shape.banks:
            raise ValueError(
                f"unit.activation.banks {activation.banks.value:g} is more than the {shape.banks} banks of a channel "
                f"of {self.memory.name}; lower it"
            )
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


PimPart = Annotated[Pim, named(Pim)]
