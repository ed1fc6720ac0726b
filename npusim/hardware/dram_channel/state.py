"""What a channel remembers: when each bank, group, rank and bus takes its next command, and the requests it holds."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from npusim.compilation import inner_kernel, kernel, record_type

CLOSED = -1
FAW_WINDOW = 4

BANK_DTYPE = record_type(
    [
        ("row", np.int64),
        ("activate", np.int64),
        ("read", np.int64),
        ("write", np.int64),
        ("precharge", np.int64),
        ("second_phase", np.int64),
        ("promoted", np.int64),
        ("refresh_pending", np.int64),
        ("hit_in_scan", np.int64),
        ("asked_in_scan", np.int64),
        ("group", np.int64),
        ("rank", np.int64),
        ("pseudo", np.int64),
        ("activations", np.int64),
    ]
)
"""row: open row or CLOSED; activate ... precharge: first tick of that command; second_phase: first tick of the second
half of an LPDDR activation, 0 where none is due; promoted: requests that this activation was made for and that wait for
their column; hit_in_scan, asked_in_scan: last scan of a queue that met a row hit, a request for a row command."""

GROUP_DTYPE = record_type([("activate", np.int64), ("read", np.int64), ("write", np.int64), ("columns", np.int64)])
RANK_DTYPE = record_type([("read", np.int64), ("write", np.int64)])
PSEUDO_CHANNEL_DTYPE = record_type(
    [
        ("activate", np.int64),
        ("read", np.int64),
        ("write", np.int64),
        ("precharge", np.int64),
        ("recent", np.int64, (FAW_WINDOW,)),
        ("oldest", np.int64),
    ]
)
"""recent: ticks of the last activations, a ring whose oldest one is at `oldest`."""

BUS_DTYPE = record_type(
    [("row", np.int64), ("column", np.int64), ("write_clock", np.int64), ("scans", np.int64), ("last_write", np.int64)]
)
"""First free tick of the row and column command buses; the tick at which the write clock stops; scans of queues;
whether the last burst was a write."""

REQUEST_DTYPE = record_type(
    [
        ("bank", np.int64),
        ("row", np.int64),
        ("write", np.int64),
        ("arrival", np.int64),
        ("counted", np.int64),
        ("promoted", np.int64),
    ]
)

COUNT_DTYPE = record_type(
    [
        (name, np.int64)
        for name in (
            "activate", "read", "write", "precharge", "refresh", "write_clock", "turns",
            "row_hits", "row_misses", "row_conflicts", "read_latency",
        )
    ]
)  # fmt: skip
"""Commands issued; turns of the pins between reading and writing; what requests met; ticks that reads waited in sum."""

Channel = namedtuple("Channel", "banks groups ranks pseudo bus counts")
RequestQueue = namedtuple("RequestQueue", "requests size")


@kernel
def new_channel(timing):
    """An idle channel with all rows closed."""
    ranks = timing.pseudo_channels * timing.ranks
    groups = ranks * timing.groups
    banks = np.zeros(groups * timing.banks_per_group, BANK_DTYPE)
    for position in range(len(banks)):
        bank = banks[position]
        bank.row = CLOSED
        bank.group = position // timing.banks_per_group
        bank.rank = bank.group // timing.groups
        bank.pseudo = bank.rank // timing.ranks
    pseudo = np.zeros(timing.pseudo_channels, PSEUDO_CHANNEL_DTYPE)
    for position in range(timing.pseudo_channels):
        pseudo[position].recent[:] = -timing.tFAW
    return Channel(
        banks,
        np.zeros(groups, GROUP_DTYPE),
        np.zeros(ranks, RANK_DTYPE),
        pseudo,
        np.zeros(1, BUS_DTYPE),
        np.zeros(1, COUNT_DTYPE),
    )


@kernel
def new_queue(slots):
    """An empty queue, oldest request first."""
    return RequestQueue(np.zeros(slots, REQUEST_DTYPE), np.zeros(1, np.int64))


@inner_kernel
def push(queue, request):
    """Append a request."""
    queue.requests[queue.size[0]] = request
    queue.size[0] += 1


@inner_kernel
def remove(queue, index):
    """Take out the request at `index`; the younger ones move up."""
    last = queue.size[0] - 1
    for position in range(index, last):
        queue.requests[position] = queue.requests[position + 1]
    queue.size[0] = last
