"""A DRAM standard at command level: organisation, command buses, timings and energies of one (pseudo-)channel.

Timings are in cycles of the command clock and have JEDEC's names.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from npusim.hardware.base import Part
from npusim.ledger import Bandwidth, Bytes, BytesOrZero, Count, Cycles, EnergyPerByte, EnergyPerOp, Few, Power, Quantity

_BITS_PER_BYTE = 8
_PEAK_TOLERANCE = 0.005
Family = Literal["hbm2", "hbm3", "hbm3e", "hbm4", "gddr6", "lpddr5", "lpddr5x", "lpddr6"]


class Organisation(Part):
    """One channel, pseudo-channel (HBM) or sub-channel (LPDDR6).

    width: data pins; access: payload of one burst of `burst_length` beats, `metadata` the bytes that ride with it;
    pseudo_channels: those that share the command buses; ranks: ranks or stack IDs; rows: of one bank; row: its bytes.
    """

    width: Few
    burst_length: Few
    access: Bytes
    metadata: BytesOrZero
    pseudo_channels: Few
    ranks: Few
    bank_groups: Few
    banks_per_group: Few
    rows: Count
    row: Bytes

    @property
    def banks(self) -> int:
        """Banks of all ranks of one (pseudo-)channel."""
        return int(self.ranks.value * self.bank_groups.value * self.banks_per_group.value)


class Commands(Part):
    """Clocks for which commands occupy their bus; row commands have one of their own where it is `separate`."""

    row_bus: Literal["separate", "shared"]
    activate: Cycles
    other: Cycles


class Timing(Part):
    """Minimum distances between commands, in command clocks, by their JEDEC names.

    tRCDRD, tRCDWR: activation to read, to write; tRPab: precharge of all banks; tCCD_R, where there are several ranks:
    between columns of two ranks; tRTW: read to write; tAAD: between the two phases of an LPDDR activation, counted
    from the first to the second; tWCKPST: write clock kept after a burst; tREFIpb, tRFCpb, tRREFD: refresh bank by
    bank, and from it to the next activation of another bank.
    """

    tRCDRD: Cycles
    tRCDWR: Cycles
    tRP: Cycles
    tRPab: Cycles | None = None
    tRAS: Cycles
    tRC: Cycles
    CL: Cycles
    CWL: Cycles
    tCCD_S: Cycles
    tCCD_L: Cycles
    tCCD_R: Cycles | None = None
    tRRD_S: Cycles
    tRRD_L: Cycles
    tFAW: Cycles
    tWTR_S: Cycles
    tWTR_L: Cycles
    tRTW: Cycles
    tWR: Cycles
    tRTP: Cycles
    tPPD: Cycles | None = None
    tAAD: Cycles | None = None
    tWCKPST: Cycles | None = None
    tREFI: Cycles
    tRFCab: Cycles
    tREFIpb: Cycles | None = None
    tRFCpb: Cycles | None = None
    tRREFD: Cycles | None = None

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
    """What commands cost. activate: one activation with its precharge; read, write: core of the array to the pins'
    buffers; io: the pins; refresh: an all-bank refresh of one rank; background: power of the (pseudo-)channel at rest.
    """

    activate: EnergyPerOp
    read: EnergyPerByte
    write: EnergyPerByte
    io: EnergyPerByte
    refresh: EnergyPerOp
    background: Power


class Dram(Part):
    """A standard and bin. data_rate: of one data pin; peak_bandwidth: of one (pseudo-)channel, checked against it.

    transfers_per_clock: beats per command clock; ticks_per_clock: edges of the command clock on which commands start.
    """

    name: str
    title: str
    family: Family
    aliases: tuple[str, ...] = ()
    note: str = ""
    data_rate: Bandwidth
    transfers_per_clock: Few
    ticks_per_clock: Few
    peak_bandwidth: Bandwidth
    organisation: Organisation
    commands: Commands
    timing: Timing
    energy: DramEnergy

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
