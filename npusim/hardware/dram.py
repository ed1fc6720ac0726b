"""A DRAM standard at command level: organisation, command buses, timings and energies of one (pseudo-)channel.

Timings are in cycles of the command clock and have JEDEC's names.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from npusim.hardware.base import Part
from npusim.hardware.description import Description
from npusim.ledger import Bandwidth, Bytes, BytesOrZero, Count, Cycles, EnergyPerByte, EnergyPerOp, Few, Power, Quantity

_BITS_PER_BYTE = 8
_PEAK_TOLERANCE = 0.005
"""Part by which a stated peak may differ from width x data rate, for rounding."""
_Family = Annotated[str, Field(pattern=r"^[a-z]+[0-9][0-9a-z]*$")]
"""Family of standards, such as hbm3e or lpddr6; nothing is computed from it."""


class Organisation(Part):
    """One channel, pseudo-channel (HBM) or sub-channel (LPDDR6)."""

    width: Few
    """Number of data pins."""
    burst_length: Few
    """Number of beats of one burst."""
    access: Bytes
    """Payload of one burst, in bytes."""
    metadata: BytesOrZero
    """Bytes of metadata that each burst carries beside its payload."""
    pseudo_channels: Few
    """Number of pseudo-channels that share the command buses, which a chip's address map must name."""
    stack_channels: Few | None = None
    """Largest number of channels of a stack or package, which bounds `channels_per_stack` of a chip; no bound if
    omitted."""
    ranks: Few
    """Number of ranks or stack IDs."""
    bank_groups: Few
    """Number of bank groups of a rank."""
    banks_per_group: Few
    """Number of banks of a bank group."""
    rows: Count
    """Number of rows of a bank, over which scattered requests to a channel alone are spread, and which bounds the rows
    that a chip's address map reaches."""
    row: Bytes
    """Size of a row of one bank, in bytes."""

    @property
    def banks(self) -> int:
        """Banks of all ranks of one (pseudo-)channel."""
        return int(self.ranks.value * self.bank_groups.value * self.banks_per_group.value)


class Commands(Part):
    """How long commands occupy their bus."""

    row_bus: Literal["separate", "shared"]
    """Whether row commands have a command bus of their own (`separate`) or share that of the column commands."""
    activate: Cycles
    """Command clocks for which an activation occupies its bus, in cycles."""
    other: Cycles
    """Command clocks for which any other command occupies its bus, in cycles."""


class Timing(Part):
    """Minimum distances between commands, in command clocks, by their JEDEC names."""

    tRCDRD: Cycles
    """Activation to read of the same bank, in cycles."""
    tRCDWR: Cycles
    """Activation to write of the same bank, in cycles."""
    tRP: Cycles
    """Precharge of a bank to its next activation, in cycles."""
    tRPab: Cycles | None = None
    """Precharge of all banks to the next activation, in cycles; tRP if omitted."""
    tRAS: Cycles
    """Activation to precharge of the same bank, in cycles, which binds where it is longer than tRCDRD and tRTP
    together."""
    tRC: Cycles
    """Activation to activation of the same bank, in cycles."""
    CL: Cycles
    """Read command to its first data (read latency), in cycles."""
    CWL: Cycles
    """Write command to its first data (write latency), in cycles."""
    tCCD_S: Cycles
    """Column command to column command in different bank groups, in cycles."""
    tCCD_L: Cycles
    """Column command to column command in the same bank group, in cycles."""
    tCCD_R: Cycles | None = None
    """Column command to column command of another rank, in cycles; needed where there are several ranks."""
    tRRD_S: Cycles
    """Activation to activation in different bank groups, in cycles."""
    tRRD_L: Cycles
    """Activation to activation in the same bank group, in cycles."""
    tFAW: Cycles
    """Window in which at most four activations may start, in cycles."""
    tWTR_S: Cycles
    """End of write data to a read in another bank group, in cycles."""
    tWTR_L: Cycles
    """End of write data to a read in the same bank group, in cycles."""
    tRTW: Cycles
    """Read command to write command, in cycles."""
    tWR: Cycles
    """End of write data to the precharge of the bank (write recovery), in cycles."""
    tRTP: Cycles
    """Read command to the precharge of the bank, in cycles."""
    tPPD: Cycles | None = None
    """Precharge to precharge of another bank, in cycles; no limit if omitted."""
    tAAD: Cycles | None = None
    """Longest distance of the second phase of a two-phase LPDDR activation from the first, in cycles: the controller
    sends it as soon as the bus is free, so that the length moves no figure; a single phase if omitted."""
    tWCKPST: Cycles | None = None
    """Write clock that keeps running after a burst, in cycles; no write clock if omitted."""
    tREFI: Cycles
    """Average interval between all-bank refreshes, in cycles."""
    tRFCab: Cycles
    """Duration of an all-bank refresh, in cycles."""
    tREFIpb: Cycles | None = None
    """Average interval between per-bank refreshes, in cycles; no per-bank refresh if omitted."""
    tRFCpb: Cycles | None = None
    """Duration of a per-bank refresh, in cycles; given together with tREFIpb."""
    tRREFD: Cycles | None = None
    """Per-bank refresh to the next activation or refresh of another bank, in cycles; no limit if omitted."""

    @model_validator(mode="after")
    def _possible(self) -> Timing:
        bank_cycle = self.tRAS.value + self.tRP.value
        _at_least("tRC", self.tRC, "tRAS + tRP", bank_cycle)
        _at_least("tFAW", self.tFAW, "tRRD_S", self.tRRD_S.value)
        _at_least("tRRD_L", self.tRRD_L, "tRRD_S", self.tRRD_S.value)
        _at_least("tCCD_L", self.tCCD_L, "tCCD_S", self.tCCD_S.value)
        _at_least("tWTR_L", self.tWTR_L, "tWTR_S", self.tWTR_S.value)
        _at_least("tRAS", self.tRAS, "tRCDRD", self.tRCDRD.value)
        _at_least("tREFI", self.tREFI, "tRFCab + tRC, else the memory does nothing but refresh", self._refresh)
        if (self.tREFIpb is None) != (self.tRFCpb is None):
            raise ValueError("tREFIpb and tRFCpb belong together; give both or neither")
        if (self.tAAD is None) != (self.tWCKPST is None):
            raise ValueError("tAAD and tWCKPST belong together (LPDDR5 and later); give both or neither")
        return self

    @property
    def _refresh(self) -> float:
        return self.tRFCab.value + self.tRC.value


class DramEnergy(Part):
    """Energy of commands, and power at rest."""

    activate: EnergyPerOp
    """Energy of one activation with its precharge, in joules."""
    read: EnergyPerByte
    """Energy of a read from the array to the buffers of the pins, in joules per byte."""
    write: EnergyPerByte
    """Energy of a write from the buffers of the pins to the array, in joules per byte."""
    io: EnergyPerByte
    """Energy of a transfer over the data pins, in joules per byte."""
    refresh: EnergyPerOp
    """Energy of an all-bank refresh of one rank, in joules."""
    background: Power
    """Power of the idle (pseudo-)channel, in watts."""


class Dram(Description):
    """A standard and its speed bin."""

    FOLDER = "memories"

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    family: _Family
    """Family of standards to which it belongs, such as hbm3e or lpddr6."""
    aliases: tuple[str, ...] = ()
    """Other names under which it is found, none if omitted."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    data_rate: Bandwidth
    """Data rate of one pin, in bytes/s."""
    transfers_per_clock: Few
    """Number of beats per command clock."""
    ticks_per_clock: Few
    """Number of edges of a command clock on which commands may start."""
    peak_bandwidth: Bandwidth
    """Payload of one (pseudo-)channel at the full data rate, in bytes/s; it must be width x data rate."""
    organisation: Organisation
    """Pins, banks and rows of one channel."""
    commands: Commands
    """Occupancy of the command buses."""
    timing: Timing
    """Minimum distances between commands."""
    energy: DramEnergy
    """Energy of commands."""

    @property
    def clock_period_s(self) -> float:
        return self.transfers_per_clock.value / (self.data_rate.value * _BITS_PER_BYTE)

    @property
    def burst_clocks(self) -> float:
        """Clocks for which one burst occupies the data pins."""
        return self.organisation.burst_length.value / self.transfers_per_clock.value

    @model_validator(mode="after")
    def _burst_fills_the_pins(self) -> Dram:
        shape = self.organisation
        carried = shape.burst_length.value * shape.width.value
        wanted = (shape.access.value + shape.metadata.value) * _BITS_PER_BYTE
        if carried != wanted:
            raise ValueError(
                f"a burst carries burst_length x width = {carried:g} bit, but access + metadata are {wanted:g} bit"
            )
        if shape.row.value % shape.access.value:
            raise ValueError(
                f"a row of {shape.row.text} does not hold a whole number of accesses ({shape.access.text})"
            )
        if shape.ranks.value > 1 and self.timing.tCCD_R is None:
            raise ValueError("several ranks need timing.tCCD_R; add it")
        _at_least("timing.tCCD_S", self.timing.tCCD_S, "a burst on the pins", self.burst_clocks)
        return self

    @model_validator(mode="after")
    def _peak_is_width_times_rate(self) -> Dram:
        shape = self.organisation
        payload = shape.access.value / (shape.access.value + shape.metadata.value)
        peak = shape.width.value * self.data_rate.value * payload
        if abs(self.peak_bandwidth.value / peak - 1.0) > _PEAK_TOLERANCE:
            raise ValueError(
                f"peak_bandwidth {self.peak_bandwidth.text} is not width x data rate x payload = {peak / 1e9:.4g} GB/s"
            )
        return self


def _at_least(name: str, quantity: Quantity, what: str, minimum: float) -> None:
    if quantity.value < minimum:
        raise ValueError(f"{name} = {quantity.value:g} cycles is impossible: it is less than {what} ({minimum:g})")
