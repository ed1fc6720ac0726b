"""First-ready, first-come-first-served with row hits first: which request's next command a channel issues.

Requests for which a row was opened are served before all others, and their row is not closed before
(Ramulator 2.1, FRFCFSRowHit; S. Rixner et al., "Memory Access Scheduling", ISCA 2000).
"""

from __future__ import annotations

from npusim.compilation import inner_kernel
from npusim.hardware.dram_channel.limits import (
    activate_start,
    column_start,
    do_activate,
    do_precharge,
    do_read,
    do_write,
    precharge_start,
)
from npusim.hardware.dram_channel.state import CLOSED, push, remove

NEVER = 1 << 62
"""A tick later than all others, with room to add to it."""
NONE = -1


@inner_kernel
def scan(channel, queue, tick, timing):
    """(oldest request whose column command is ready, oldest whose row command is, next tick at which one may be).

    NONE where there is none. The queue is in order of age, so the first request of a bank represents later ones of the
    same kind. A row is not closed while an older request still hits it.
    """
    column = row = NONE
    wake = NEVER
    bus = channel.bus[0]
    bus.scans += 1
    for index in range(queue.size[0]):
        request = queue.requests[index]
        bank = channel.banks[request.bank]
        if bank.row == request.row and bank.second_phase == 0:
            if column == NONE and bank.hit_in_scan != bus.scans:
                start = _column_issue(channel, bank, request.write, tick, timing)
                if start <= tick:
                    column = index
                wake = min(wake, start)
            bank.hit_in_scan = bus.scans
        elif row == NONE and bank.asked_in_scan != bus.scans:
            if bank.row != CLOSED and bank.hit_in_scan == bus.scans:
                continue
            bank.asked_in_scan = bus.scans
            start = max(_row_issue(channel, bank, request, timing), bus.row)
            if start <= tick:
                row = index
            wake = min(wake, start)
        if column != NONE and (row != NONE or not timing.separate_row_bus):
            break
    return column, row, wake


@inner_kernel
def _column_issue(channel, bank, write, tick, timing):
    """First tick from now of a column command, or of the start of a write clock that has stopped."""
    start = max(max(column_start(channel, bank, write), channel.bus[0].column), tick)
    return -(-start // timing.column_step) * timing.column_step


@inner_kernel
def _row_issue(channel, bank, request, timing):
    """First tick of the activation or precharge that a request needs; NEVER while its bank is promised to others."""
    if bank.row == CLOSED:
        return NEVER if bank.refresh_pending else activate_start(channel, bank, timing)
    if bank.second_phase:
        return bank.second_phase if request.promoted else NEVER
    if bank.promoted:
        return NEVER
    return precharge_start(channel, bank)


@inner_kernel
def count_first_command(channel, request):
    """Count once for each request whether it found its row open, the bank closed, or another row open."""
    if request.counted:
        return
    request.counted = 1
    bank, counts = channel.banks[request.bank], channel.counts[0]
    if bank.row == request.row:
        counts.row_hits += 1
    elif bank.row == CLOSED:
        counts.row_misses += 1
    else:
        counts.row_conflicts += 1


@inner_kernel
def issue_row(channel, queue, index, promoted, tick, timing):
    """Activate or precharge for the request at `index`; an activation moves it to the `promoted` ones."""
    request = queue.requests[index]
    count_first_command(channel, request)
    bank = channel.banks[request.bank]
    if bank.row == CLOSED:
        do_activate(channel, bank, request.row, tick, timing)
        bank.promoted += 1
        request.promoted = 1
        push(promoted, request)
        remove(queue, index)
        _occupy_row_bus(channel, tick + timing.activate, timing)
    elif bank.second_phase:
        bank.second_phase = 0
        _occupy_row_bus(channel, tick + timing.activate, timing)
    else:
        do_precharge(channel, bank, tick, timing)
        _occupy_row_bus(channel, tick + timing.command, timing)


@inner_kernel
def issue_column(channel, queue, index, tick, timing):
    """Read or write for the request at `index`, or start the write clock for it; True where the burst was issued."""
    request = queue.requests[index]
    bus = channel.bus[0]
    _occupy_column_bus(channel, tick + timing.command, timing)
    if timing.write_clock and tick >= bus.write_clock:
        bus.write_clock = tick + timing.command + timing.CL + timing.tBL + timing.tWCKPST
        channel.counts[0].write_clock += 1
        return False
    count_first_command(channel, request)
    channel.counts[0].turns += bus.last_write != request.write
    bus.last_write = request.write
    bank = channel.banks[request.bank]
    if request.write:
        do_write(channel, bank, tick, timing)
        bus.write_clock = tick + timing.CWL + timing.tBL + timing.tWCKPST
    else:
        do_read(channel, bank, tick, timing)
        bus.write_clock = tick + timing.CL + timing.tBL + timing.tWCKPST
    if request.promoted:
        bank.promoted -= 1
    return True


@inner_kernel
def _occupy_row_bus(channel, until, timing):
    bus = channel.bus[0]
    bus.row = until
    if not timing.separate_row_bus:
        bus.column = until


@inner_kernel
def _occupy_column_bus(channel, until, timing):
    bus = channel.bus[0]
    bus.column = until
    if not timing.separate_row_bus:
        bus.row = until
