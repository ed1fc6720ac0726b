"""The tables of a simulation: what stands fixed (`Plant`), what is to be done (`Work`), and what happened (`State`)."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from npusim.compilation import record_type

PROGRAM, MAIN_PROGRAM, FILL, TRANSFER, MESSAGE = range(5)
"""How a command runs. PROGRAM: for fixed_s + work_s. MAIN_PROGRAM: likewise, its `touched` bytes passing the SRAM port
before all others. FILL: `touched` bytes pass the port, in work_s where they can. TRANSFER: `amount` flows; its start-up
passes under the transfers before it. MESSAGE: `amount` flows after fixed_s, beside whatever its queue does."""

NONE = -1

INPUTS, TURN, ROOM, START_UP = range(4)
WAITS = ("inputs", "turn", "room", "start-up")
"""What a command waited for last: results of others, its turn in the queue, room in SRAM, its own start-up."""

PORT, REGISTERS, MEMORY, LINK, ON_CHIP, BANKS, ENGINES = range(7)
CLASSES = ("SRAM port", "register port", "memory channel", "link", "on-chip network", "PIM banks", "DMA engines")
"""Classes of resources, under which the time is counted that flows lose to others."""

COMMAND_DTYPE = record_type(
    [
        *((name, np.int64) for name in ("style", "queue", "pool", "port", "memory", "second_memory", "pattern")),
        ("second_pattern", np.int64),
        *((name, np.float64) for name in ("fixed_s", "work_s", "touched", "amount", "streams", "claim", "release")),
    ]
)
"""queue, pool, port: their numbers, NONE without; memory, second_memory: memories that a flow draws on; pattern,
second_pattern: of its accesses there; streams: engines that draw, the weight of its share; claim, release: bytes of the
pool taken before and given back after."""

MEMORY_DTYPE = record_type(
    [
        *((name, np.int64) for name in ("first", "channels", "mixes")),
        *((name, np.float64) for name in ("limit", "engine_rate", "sharpness")),
    ]
)
"""first, channels: its resources; mixes: whether its rate depends on the mix of patterns; limit: bytes/s of long
streams; engine_rate: bytes/s of one engine (infinite: none); sharpness: of the bend between the two."""

Plant = namedtuple("Plant", "capacity classes memories ports pools depths traced")
"""capacity: bytes/s of each resource; classes: its class; memories: MEMORY_DTYPE; ports: bytes/s of each SRAM port,
whose resources are 2 p for transfers and 2 p + 1 for fills; pools: bytes of each pool; depths: commands that a queue
accepts; traced: resources whose rates are kept in the history, a column each."""

LoopWork = namedtuple(
    "LoopWork", "commands inputs input_ends followers follower_ends order order_ends ways shares way_ends"
)
"""commands: COMMAND_DTYPE; inputs of command c: inputs[input_ends[c] : input_ends[c + 1]], likewise followers, the
resources (ways) that its flow uses and the bytes of each per byte of it (shares), and order of each queue."""

LoopState = namedtuple(
    "LoopState",
    "clock counters pending done since start end cause waited lost head waiting held freed_by room_queue heap_time "
    "heap_item ready ended flows left rates alone binding weight limit denied due open fixed main sub drawn mix "
    "capacity left_over users load used full stamp busy history levels mixes scales",
)
"""clock: now; counters: see below; per command: pending inputs, done, since, start, end, cause, waited (of WAITS), lost
seconds by class; per queue: head, waiting; per pool: held, freed_by, room_queue; timers as a heap; ready: queues to
look at, and -1 - command for one without a queue; ended: flows that end now; flows: active commands with bytes left,
rate, rate alone, binding class, weight of its share, rate for a weight that its own engine moves, part of the rate
alone that the binding resource denies, seconds until it is due, and scratch space (open, fixed); per memory: streams
drawn and mix of patterns now; per port: what main and sub context draw; per resource: capacity now, what is used (as
of the sharing whose number is its stamp), and scratch space (left_over, users, load, full; busy: those in use);
history: (time, traced rates ...); levels: (time, pool, bytes held); mixes, scales: known mixes of patterns and what
they leave of each channel."""

COUNTERS = 14
(
    HEAPED,
    FLOWING,
    READY,
    EVENTS,
    HISTORY,
    LEVELS,
    KNOWN,
    DIRTY,
    STATUS,
    WANTED,
    WANTED_MEMORY,
    SERIAL,
    ENDED,
    SHARED,
) = range(COUNTERS)
"""Positions in `counters`; SHARED: sharings so far."""

RUNNING, NEEDS_MIX, NEVER_FITS, HISTORY_FULL = range(4)
"""Values of the status."""

BITS_OF_PATTERN = 4
"""Bits of a mix in which the active flows of one pattern are counted."""
MOST_OF_PATTERN = (1 << BITS_OF_PATTERN) - 1
MOST_MIXES = 512
"""Mixes of patterns that one simulation meets at most; further ones run as the last."""
_FIRST_HISTORY = 1 << 12
"""Rows of the history at first."""


def new_state(plant: Plant, work: LoopWork) -> LoopState:
    """A state in which nothing has happened yet."""
    commands, queues = len(work.commands), len(work.order_ends) - 1
    pools, resources = len(plant.pools), len(plant.capacity)
    channels = int(plant.memories["channels"].max(initial=1))
    return LoopState(
        clock=np.zeros(1),
        counters=np.zeros(COUNTERS, np.int64),
        pending=np.diff(work.input_ends),
        done=np.zeros(commands, np.bool_),
        since=np.zeros(commands),
        start=np.zeros(commands),
        end=np.zeros(commands),
        cause=np.full(commands, NONE),
        waited=np.zeros(commands, np.int64),
        lost=np.zeros((commands, len(CLASSES))),
        head=work.order_ends[:-1].copy(),
        waiting=np.zeros(queues, np.int64),
        held=np.zeros(pools),
        freed_by=np.full(pools, NONE),
        room_queue=np.full(pools, NONE),
        heap_time=np.zeros(commands),
        heap_item=np.zeros((commands, 2), np.int64),
        ready=np.zeros(3 * commands + queues + 1, np.int64),
        ended=np.zeros(commands, np.int64),
        flows=np.zeros(commands, np.int64),
        left=np.zeros(commands),
        rates=np.zeros(commands),
        alone=np.zeros(commands),
        binding=np.zeros(commands, np.int64),
        weight=np.zeros(commands),
        limit=np.zeros(commands),
        denied=np.zeros(commands),
        due=np.zeros(commands),
        open=np.zeros(commands, np.int64),
        fixed=np.zeros(commands, np.int64),
        main=np.zeros(len(plant.ports)),
        sub=np.zeros(len(plant.ports)),
        drawn=np.zeros(len(plant.memories)),
        mix=np.zeros(len(plant.memories), np.int64),
        capacity=plant.capacity.copy(),
        left_over=np.zeros(resources),
        users=np.zeros(resources, np.int64),
        load=np.zeros(resources),
        used=np.zeros(resources),
        full=np.zeros(resources, np.bool_),
        stamp=np.zeros(resources, np.int64),
        busy=np.zeros(resources, np.int64),
        history=np.zeros((_FIRST_HISTORY, 1 + len(plant.traced))),
        levels=np.zeros((2 * commands + 1, 3)),
        mixes=np.zeros(MOST_MIXES, np.int64),
        scales=np.ones((MOST_MIXES, channels)),
    )
