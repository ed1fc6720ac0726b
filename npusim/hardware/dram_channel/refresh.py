"""Refresh: all banks of a rank every tREFI, or bank by bank every tREFIpb.

While an all-bank refresh waits, only requests whose row is already open for them are served; one bank's refresh waits
for that bank alone.
"""

from __future__ import annotations

import numpy as np

from npusim.compilation import inner_kernel, kernel, record_type
from npusim.hardware.dram_channel.limits import do_precharge, precharge_start
from npusim.hardware.dram_channel.scheduler import NEVER
from npusim.hardware.dram_channel.state import CLOSED
from npusim.hardware.dram_channel.timing import REFRESH_ALL_BANK, REFRESH_PER_BANK

REFRESH_DTYPE = record_type([("due", np.int64), ("next", np.int64), ("waiting", np.int64), ("closed", np.int64)])
"""due: tick of the next refresh; next: rank or bank whose turn it is; waiting: units whose refresh is due; closed: all
rows of that rank have been closed for it."""


@kernel
def new_refresh(timing):
    """The first refresh is due one interval after the start; NEVER where refresh is off."""
    refresh = np.zeros(1, REFRESH_DTYPE)
    refresh[0].due = NEVER
    if timing.refresh == REFRESH_ALL_BANK:
        refresh[0].due = timing.tREFI
    elif timing.refresh == REFRESH_PER_BANK:
        refresh[0].due = timing.tREFIpb
    return refresh


@inner_kernel
def advance_refresh(channel, refresh, tick, timing):
    """Note what has become due; (whether requests not yet promoted must wait, next tick of interest)."""
    own = refresh[0]
    if tick >= own.due:
        if timing.refresh == REFRESH_ALL_BANK:
            own.due += timing.tREFI
            own.waiting += len(channel.ranks)
        else:
            own.due += timing.tREFIpb
            own.waiting += timing.pseudo_channels
    return own.waiting > 0 and timing.refresh == REFRESH_ALL_BANK, own.due


@inner_kernel
def try_refresh(channel, refresh, tick, timing):
    """Issue what the waiting refresh needs next, if it can; (whether it did, next tick at which it may)."""
    own = refresh[0]
    if own.waiting == 0:
        return False, NEVER
    if timing.refresh == REFRESH_ALL_BANK:
        return _refresh_rank(channel, own, tick, timing)
    return _refresh_bank(channel, own, tick, timing)


@inner_kernel
def _refresh_rank(channel, own, tick, timing):
    size = timing.groups * timing.banks_per_group
    first = own.next * size
    start = channel.bus[0].row
    is_open = False
    for bank in range(first, first + size):
        if channel.banks[bank].row != CLOSED:
            is_open = True
            if channel.banks[bank].promoted:
                return False, NEVER
            start = max(start, precharge_start(channel, channel.banks[bank]))
    if not is_open:
        for bank in range(first, first + size):
            start = max(start, channel.banks[bank].activate)
    if start > tick:
        return False, start
    _occupy(channel, tick, timing)
    for bank in range(first, first + size):
        own_bank = channel.banks[bank]
        if is_open:
            own_bank.row = CLOSED
            own_bank.activate = max(own_bank.activate, tick + timing.tRPab)
        else:
            own_bank.activate = tick + timing.tRFCab
    if not is_open:
        channel.counts[0].refresh += 1
        own.waiting -= 1
        own.next = (own.next + 1) % len(channel.ranks)
    return True, NEVER


@inner_kernel
def _refresh_bank(channel, own, tick, timing):
    bank = channel.banks[own.next]
    bank.refresh_pending = 1
    if bank.promoted:
        return False, NEVER
    is_open = bank.row != CLOSED
    start = precharge_start(channel, bank) if is_open else bank.activate
    start = max(start, channel.bus[0].row)
    if start > tick:
        return False, start
    _occupy(channel, tick, timing)
    if is_open:
        do_precharge(channel, bank, tick, timing)
        return True, NEVER
    bank.activate = tick + timing.tRFCpb
    bank.refresh_pending = 0
    for pseudo in channel.pseudo:
        pseudo.activate = max(pseudo.activate, tick + timing.tRREFD)
    channel.counts[0].refresh += 1
    own.waiting -= 1
    own.next = (own.next + 1) % len(channel.banks)
    return True, NEVER


@inner_kernel
def _occupy(channel, tick, timing):
    bus = channel.bus[0]
    bus.row = tick + timing.command
    if not timing.separate_row_bus:
        bus.column = bus.row
