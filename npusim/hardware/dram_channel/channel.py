"""One DRAM channel under a closed loop of requests, from command to command; idle ticks are skipped.

A request is one burst. The driver keeps `outstanding` of them, hands them over in order while the queues of 64 reads
and 64 writes have room, and gets an answer when read data has returned or a write has been issued; the next request
follows a tick later. Writes wait until their queue is 80 % full and are drained down to 20 % (as in Ramulator 2.1's
driver).
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from npusim.compilation import entry, inner_kernel, record_type
from npusim.hardware.dram_channel.refresh import advance_refresh, new_refresh, try_refresh
from npusim.hardware.dram_channel.scheduler import NEVER, NONE, issue_column, issue_row, scan
from npusim.hardware.dram_channel.state import COUNT_DTYPE, REQUEST_DTYPE, new_channel, new_queue, push, remove

# Lengths of the queues, and parts of the write queue between which writes are drained, as in Ramulator 2.
READ_SLOTS = WRITE_SLOTS = 64
DRAIN_ABOVE, DRAIN_TO = 0.8, 0.2

DRIVER_DTYPE = record_type(
    [
        ("outstanding", np.int64),
        ("sent", np.int64),
        ("done", np.int64),
        ("head", np.int64),
        ("tail", np.int64),
        ("writing", np.int64),
    ]
)
"""outstanding: requests that may be unanswered at once; sent, done: requests handed over and answered; head, tail: of
the reads in flight; writing: writes are drained."""

Queues = namedtuple("Queues", "reads writes promoted incoming")
ChannelRequests = namedtuple("ChannelRequests", "banks rows writes")


@entry
def run_channel(banks, rows, writes, timing, outstanding, warm, counts):
    """Run the requests; (ticks, requests) from the answer `warm` to the last request handed over, and the parts of all
    activations that the busiest bank took, and of all columns that the busiest bank group took.

    banks, rows, writes: (requests,), the location of each and whether it writes; counts: COUNT_DTYPE of that time,
    (1,).
    """
    channel = new_channel(timing)
    queues = Queues(
        new_queue(READ_SLOTS), new_queue(WRITE_SLOTS), new_queue(len(channel.banks)), np.zeros(1, REQUEST_DTYPE)
    )
    drivers = np.zeros(1, DRIVER_DTYPE)
    drivers[0].outstanding = outstanding
    flights = np.zeros(len(banks), np.int64)
    requests = ChannelRequests(banks, rows, writes)
    ticks, answered = _loop(channel, new_refresh(timing), queues, drivers, flights, requests, timing, warm, counts)
    _subtract(channel.counts[0], counts[0])
    busiest_bank = channel.banks["activations"].max() / max(1, channel.banks["activations"].sum())
    busiest_group = channel.groups["columns"].max() / max(1, channel.groups["columns"].sum())
    return ticks, answered, busiest_bank, busiest_group


@entry
def run_channels(banks, rows, writes, ends, timing, outstanding, warm_part, ticks, answered):
    """Run the requests of several channels, each by itself, their refreshes spread evenly over the interval.

    banks, rows, writes: (requests,) of all channels, those of channel c at ends[c] : ends[c + 1]; warm_part: one
    request in so many is run before the measurement; filled: ticks, answered (channels,).
    """
    channels = len(ends) - 1
    for number in range(channels):
        own = slice(ends[number], ends[number + 1])
        refresh = new_refresh(timing)
        if refresh[0].due != NEVER:
            refresh[0].due = max(1, refresh[0].due * (number + 1) // channels)
        queues = Queues(
            new_queue(READ_SLOTS),
            new_queue(WRITE_SLOTS),
            new_queue(timing.pseudo_channels * timing.ranks * timing.groups * timing.banks_per_group),
            np.zeros(1, REQUEST_DTYPE),
        )
        drivers = np.zeros(1, DRIVER_DTYPE)
        count = ends[number + 1] - ends[number]
        warm = count // warm_part
        drivers[0].outstanding = min(outstanding, count - warm - 1)
        requests = ChannelRequests(banks[own], rows[own], writes[own])
        flights = np.zeros(count, np.int64)
        counts = np.zeros(1, COUNT_DTYPE)
        ticks[number], answered[number] = _loop(
            new_channel(timing), refresh, queues, drivers, flights, requests, timing, warm, counts
        )


@inner_kernel
def _loop(channel, refresh, queues, drivers, flights, requests, timing, warm, counts):
    """From tick to tick at which something can happen; (ticks, answers) since answer `warm`; `counts` as then."""
    driver = drivers[0]
    last = len(requests.banks) - driver.outstanding
    tick = start = first = 0
    begun = False
    while True:
        while driver.head < driver.tail and flights[driver.head] < tick:
            driver.head += 1
            driver.done += 1
        if not begun and driver.done >= warm:
            begun, start, first = True, tick, driver.done
            counts[0] = channel.counts[0]
        if driver.done >= last:
            return tick - start, driver.done - first
        _hand_over(driver, requests, queues, tick)
        issued, wake = _serve(channel, drivers, flights, refresh, queues, tick, timing)
        if driver.head < driver.tail:
            wake = min(wake, flights[driver.head] + 1)
        tick = tick + 1 if issued else max(tick + 1, wake)


@inner_kernel
def _hand_over(driver, requests, queues, tick):
    """Hand requests over, in order, while few enough are unanswered and their queue has a free slot."""
    request = queues.incoming[0]
    while driver.sent < len(requests.banks) and driver.sent - driver.done < driver.outstanding:
        request.write = requests.writes[driver.sent]
        queue = queues.writes if request.write else queues.reads
        if queue.size[0] == len(queue.requests):
            break
        request.bank = requests.banks[driver.sent]
        request.row = requests.rows[driver.sent]
        request.arrival = tick
        push(queue, request)
        driver.sent += 1


@inner_kernel
def _serve(channel, drivers, flights, refresh, queues, tick, timing):
    """Issue what each command bus can take in this tick; (whether anything was, next tick at which something may be).

    Columns of rows that were opened for them come first, then refresh, then the reads or writes that wait: their row
    hits, the second half of an activation, other row commands. Nothing starts while the one shared bus is taken.
    """
    both = timing.separate_row_bus == 1
    held, due = advance_refresh(channel, refresh, tick, timing)
    if not both and channel.bus[0].row > tick:
        if not held:
            _choose_direction(drivers, queues)
        return False, min(due, channel.bus[0].row)
    column, second, wake = scan(channel, queues.promoted, tick, timing)
    column_used = column != NONE
    if column_used:
        _burst(channel, drivers, flights, queues.promoted, column, tick, timing)
        second -= second > column
    if column_used and not both:
        return True, wake
    refreshed, refresh_wake = try_refresh(channel, refresh, tick, timing)
    wake = min(min(wake, due), refresh_wake)
    if held or refreshed:
        if second != NONE and not refreshed:
            issue_row(channel, queues.promoted, second, queues.promoted, tick, timing)
            refreshed = True
        return column_used or refreshed, wake
    _choose_direction(drivers, queues)
    queue = queues.writes if drivers[0].writing else queues.reads
    column, row, queue_wake = scan(channel, queue, tick, timing)
    if column != NONE and not column_used:
        _burst(channel, drivers, flights, queue, column, tick, timing)
        row -= row > column
        column_used = True
    row_used = (second != NONE or row != NONE) and (both or not column_used)
    if row_used and second != NONE:
        issue_row(channel, queues.promoted, second, queues.promoted, tick, timing)
    elif row_used:
        issue_row(channel, queue, row, queues.promoted, tick, timing)
    return column_used or row_used, min(wake, queue_wake)


@inner_kernel
def _burst(channel, drivers, flights, queue, index, tick, timing):
    """Issue the column command of a request; a read is answered when its data has come, a write at once."""
    request = queue.requests[index]
    if not issue_column(channel, queue, index, tick, timing):
        return
    driver = drivers[0]
    if request.write:
        driver.done += 1
    else:
        end = tick + timing.CL + timing.tBL
        flights[driver.tail] = end
        driver.tail += 1
        channel.counts[0].read_latency += end - request.arrival
    remove(queue, index)


@inner_kernel
def _choose_direction(drivers, queues):
    """Turn to writes when their queue is nearly full or no read waits, back when few writes are left and reads wait."""
    driver, waiting = drivers[0], queues.writes.size[0]
    if not driver.writing:
        driver.writing = waiting > DRAIN_ABOVE * WRITE_SLOTS or queues.reads.size[0] == 0
    elif waiting < DRAIN_TO * WRITE_SLOTS and queues.reads.size[0] > 0:
        driver.writing = 0


@inner_kernel
def _subtract(total, before):
    """Leave in `before` what has been counted since."""
    before.activate = total.activate - before.activate
    before.read = total.read - before.read
    before.write = total.write - before.write
    before.precharge = total.precharge - before.precharge
    before.refresh = total.refresh - before.refresh
    before.turns = total.turns - before.turns
    before.write_clock = total.write_clock - before.write_clock
    before.row_hits = total.row_hits - before.row_hits
    before.row_misses = total.row_misses - before.row_misses
    before.row_conflicts = total.row_conflicts - before.row_conflicts
    before.read_latency = total.read_latency - before.read_latency
