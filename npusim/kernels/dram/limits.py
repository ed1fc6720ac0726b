"""The rules between commands: the first tick at which one may start, and what it puts off once it has started.

JESD238 (HBM3), JESD209-5B and -6 (LPDDR5, LPDDR6), JESD250 (GDDR6); the level at which each limit acts (bank, group,
rank, pseudo-channel) follows Ramulator 2.1 (CMU-SAFARI/ramulator2@c5b1c3a).
"""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.kernels.dram.state import CLOSED, FAW_WINDOW


@kernel
def group_of(bank, timing):
    return bank // timing.banks_per_group


@kernel
def rank_of(bank, timing):
    return bank // (timing.banks_per_group * timing.groups)


@kernel
def pseudo_channel_of(bank, timing):
    return bank // (timing.banks_per_group * timing.groups * timing.ranks)


@kernel
def column_start(channel, bank, write, timing):
    """First tick of a read or write of the open row of `bank`, the command bus left aside."""
    own = channel.banks[bank]
    group = channel.groups[group_of(bank, timing)]
    rank = channel.ranks[rank_of(bank, timing)]
    pseudo = channel.pseudo[pseudo_channel_of(bank, timing)]
    if write:
        return max(max(own.write, group.write), max(rank.write, pseudo.write))
    return max(max(own.read, group.read), max(rank.read, pseudo.read))


@kernel
def activate_start(channel, bank, timing):
    """First tick of an activation: tRC and tRP of the bank, tRRD, and tFAW after the fourth activation before it."""
    group = channel.groups[group_of(bank, timing)]
    pseudo = channel.pseudo[pseudo_channel_of(bank, timing)]
    window = pseudo.recent[pseudo.oldest] + timing.tFAW
    return max(max(channel.banks[bank].activate, group.activate), max(pseudo.activate, window))


@kernel
def precharge_start(channel, bank, timing):
    """First tick of a precharge: tRAS, tRTP, tWR of the bank and tPPD of its pseudo-channel."""
    return max(channel.banks[bank].precharge, channel.pseudo[pseudo_channel_of(bank, timing)].precharge)


@kernel
def do_activate(channel, bank, row, tick, timing):
    """Open `row`; LPDDR does it in two commands, of which the first starts all clocks (as Ramulator 2.1 counts)."""
    own = channel.banks[bank]
    own.row = row
    own.activate = tick + timing.tRC
    own.precharge = tick + timing.tRAS
    own.read = tick + timing.tRCDRD
    own.write = tick + timing.tRCDWR
    own.second_phase = tick + timing.activate if timing.two_phase else 0
    group = channel.groups[group_of(bank, timing)]
    group.activate = tick + timing.tRRD_L
    pseudo = channel.pseudo[pseudo_channel_of(bank, timing)]
    pseudo.activate = tick + timing.tRRD_S
    pseudo.recent[pseudo.oldest] = tick
    pseudo.oldest = (pseudo.oldest + 1) % FAW_WINDOW
    channel.counts[0].activate += 1


@kernel
def do_precharge(channel, bank, tick, timing):
    """Close the row of `bank`."""
    own = channel.banks[bank]
    own.row = CLOSED
    own.activate = max(own.activate, tick + timing.tRP)
    channel.pseudo[pseudo_channel_of(bank, timing)].precharge = tick + timing.tPPD
    channel.counts[0].precharge += 1


@kernel
def do_read(channel, bank, tick, timing):
    """A read burst: the next columns by group, rank and pseudo-channel, the turn to writing, the row's precharge."""
    own = channel.banks[bank]
    own.precharge = max(own.precharge, tick + timing.tRTP)
    group = channel.groups[group_of(bank, timing)]
    group.read = max(group.read, tick + timing.tCCD_L)
    first = pseudo_channel_of(bank, timing) * timing.ranks
    for rank in range(first, first + timing.ranks):
        gap = timing.tCCD_S if rank == rank_of(bank, timing) else timing.tCCD_R
        channel.ranks[rank].read = max(channel.ranks[rank].read, tick + gap)
    pseudo = channel.pseudo[pseudo_channel_of(bank, timing)]
    pseudo.write = max(pseudo.write, tick + timing.tRTW)
    channel.counts[0].read += 1


@kernel
def do_write(channel, bank, tick, timing):
    """A write burst: the next columns, the turn to reading (tWTR after the last data), write recovery."""
    own = channel.banks[bank]
    data_end = tick + timing.CWL + timing.tBL
    own.precharge = max(own.precharge, data_end + timing.tWR)
    group = channel.groups[group_of(bank, timing)]
    group.write = max(group.write, tick + timing.tCCD_L)
    group.read = max(group.read, data_end + timing.tWTR_L)
    first = pseudo_channel_of(bank, timing) * timing.ranks
    for rank in range(first, first + timing.ranks):
        gap = timing.tCCD_S if rank == rank_of(bank, timing) else timing.tCCD_R
        channel.ranks[rank].write = max(channel.ranks[rank].write, tick + gap)
    pseudo = channel.pseudo[pseudo_channel_of(bank, timing)]
    pseudo.read = max(pseudo.read, data_end + timing.tWTR_S)
    channel.counts[0].write += 1
