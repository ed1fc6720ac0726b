"""The timing rules between commands: the first tick at which one may start, and which others it delays.

JESD238 (HBM3), JESD209-5B and -6 (LPDDR5, LPDDR6), JESD250 (GDDR6); the level at which each limit acts (bank, group,
rank, pseudo-channel) follows Ramulator 2.1 (CMU-SAFARI/ramulator2@c5b1c3a).
"""

from __future__ import annotations

from npusim.compilation import inner_kernel
from npusim.hardware.dram_channel.state import CLOSED, FAW_WINDOW


@inner_kernel
def column_start(channel, own, write):
    """First tick of a read or write of the open row of bank `own`, command bus not considered."""
    group, rank, pseudo = channel.groups[own.group], channel.ranks[own.rank], channel.pseudo[own.pseudo]
    if write:
        return max(max(own.write, group.write), max(rank.write, pseudo.write))
    return max(max(own.read, group.read), max(rank.read, pseudo.read))


@inner_kernel
def activate_start(channel, own, timing):
    """First tick of an activation: tRC and tRP of the bank, tRRD, and tFAW after the fourth activation before it."""
    pseudo = channel.pseudo[own.pseudo]
    window = pseudo.recent[pseudo.oldest] + timing.tFAW
    return max(max(own.activate, channel.groups[own.group].activate), max(pseudo.activate, window))


@inner_kernel
def precharge_start(channel, own):
    """First tick of a precharge: tRAS, tRTP, tWR of the bank and tPPD of its pseudo-channel."""
    return max(own.precharge, channel.pseudo[own.pseudo].precharge)


@inner_kernel
def do_activate(channel, own, row, tick, timing):
    """Open `row`; LPDDR does it in two commands, of which the first starts all clocks (as Ramulator 2.1 counts)."""
    own.row = row
    own.activate = tick + timing.tRC
    own.precharge = tick + timing.tRAS
    own.read = tick + timing.tRCDRD
    own.write = tick + timing.tRCDWR
    own.second_phase = tick + timing.activate if timing.two_phase else 0
    group = channel.groups[own.group]
    group.activate = tick + timing.tRRD_L
    pseudo = channel.pseudo[own.pseudo]
    pseudo.activate = tick + timing.tRRD_S
    pseudo.recent[pseudo.oldest] = tick
    pseudo.oldest = (pseudo.oldest + 1) % FAW_WINDOW
    own.activations += 1
    channel.counts[0].activate += 1


@inner_kernel
def do_precharge(channel, own, tick, timing):
    """Close the row of bank `own`."""
    own.row = CLOSED
    own.activate = max(own.activate, tick + timing.tRP)
    channel.pseudo[own.pseudo].precharge = tick + timing.tPPD
    channel.counts[0].precharge += 1


@inner_kernel
def do_read(channel, own, tick, timing):
    """A read burst: the next columns by group, rank and pseudo-channel, the turn to writing, the row's precharge."""
    own.precharge = max(own.precharge, tick + timing.tRTP)
    group = channel.groups[own.group]
    group.read = max(group.read, tick + timing.tCCD_L)
    first = own.pseudo * timing.ranks
    for rank in range(first, first + timing.ranks):
        gap = timing.tCCD_S if rank == own.rank else timing.tCCD_R
        channel.ranks[rank].read = max(channel.ranks[rank].read, tick + gap)
    pseudo = channel.pseudo[own.pseudo]
    pseudo.write = max(pseudo.write, tick + timing.tRTW)
    group.columns += 1
    channel.counts[0].read += 1


@inner_kernel
def do_write(channel, own, tick, timing):
    """A write burst: the next columns, the turn to reading (tWTR after the last data), write recovery."""
    data_end = tick + timing.CWL + timing.tBL
    own.precharge = max(own.precharge, data_end + timing.tWR)
    group = channel.groups[own.group]
    group.write = max(group.write, tick + timing.tCCD_L)
    group.read = max(group.read, data_end + timing.tWTR_L)
    first = own.pseudo * timing.ranks
    for rank in range(first, first + timing.ranks):
        gap = timing.tCCD_S if rank == own.rank else timing.tCCD_R
        channel.ranks[rank].write = max(channel.ranks[rank].write, tick + gap)
    pseudo = channel.pseudo[own.pseudo]
    pseudo.read = max(pseudo.read, data_end + timing.tWTR_S)
    group.columns += 1
    channel.counts[0].write += 1
