"""Commands for the queues of chips, and the program that they form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from npusim.engine.event.memory import SOMEWHERE, Access
from npusim.engine.event.tiling import TilingChoice

CONTRACTION, VECTOR, MEMORY, PIM, LINK, OVERHEAD = "contraction", "vector", "memory", "pim", "link", "overhead"
"""Resources to which the time of a command counts, under the names of StepCost."""

HOST, CORE, DMA, MAIN, SUB, SWITCH, CHIP_LINK = "host", "core", "DMA", "main", "sub", "switch", "link"
MESSAGE, UNITS, CACHE = "message", "PIM units", "cache"
"""Engines; every cluster has its own core, DMA, main and sub context. Messages between two chips are in order."""

ALL_CLUSTERS = -1
NO_ROW = -1


class Queue(NamedTuple):
    """An in-order queue: an engine, the cluster that it belongs to (ALL_CLUSTERS for those of a chip), and the chip.

    Of a MESSAGE the chip that it goes to, and the one that it comes from.
    """

    engine: str
    cluster: int
    chip: int = 0


class Position(NamedTuple):
    """Where a command comes from: a row of the OpTable, which repetition of its segment, and which tile."""

    row: int
    turn: int
    tile: int


@dataclass(slots=True)
class Command:
    """One entry of a queue.

    inputs: positions in the program of commands that must be done before; kind: resource to which `work_s` counts;
    fixed_s: start-up, which counts as overhead; touched: bytes of SRAM that a program reads and writes; wanted, asked:
    bytes that a transfer delivers and that it reads from memory in whole access units, over `streams` engines; access:
    where they lie; links: that a message crosses; link_bytes: of each for one of the message's, since its transport is
    slower than the link; passes: bytes of memory at both ends for one of the message's; banks: of the banks' time that
    units in memory take, for a second of theirs; claim, release: bytes of SRAM
    allocated before and freed after.
    """

    queue: Queue
    kind: str
    position: Position
    inputs: tuple[int, ...]
    work_s: float = 0.0
    fixed_s: float = 0.0
    touched: float = 0.0
    wanted: float = 0.0
    asked: float = 0.0
    streams: float = 0.0
    access: Access = SOMEWHERE
    links: tuple[int, ...] = ()
    link_bytes: float = 1.0
    passes: float = 0.0
    banks: float = 1.0
    claim: float = 0.0
    release: float = 0.0
    what: str = ""


class Turn(NamedTuple):
    """Commands [first, last) of one repetition of a segment."""

    segment: int
    turn: int
    first: int
    last: int


@dataclass
class Program:
    """Commands in program order; every input precedes the command that waits for it.

    queues: commands of each queue in order; turns: where repetitions of segments begin and end; room: bytes of SRAM of
    one cluster for tiles; resident: bytes of activations beside them; port: bytes/s that this SRAM passes; plans: of
    LINEAR rows, by row.
    """

    room: float
    resident: float
    port: float
    commands: list[Command] = field(default_factory=list)
    queues: dict[Queue, list[int]] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    plans: dict[int, TilingChoice] = field(default_factory=dict)
    _regions: dict[tuple[int, str], int] = field(default_factory=dict)
    _used: int = 0

    def add(self, command: Command) -> int:
        position = len(self.commands)
        self.commands.append(command)
        self.queues.setdefault(command.queue, []).append(position)
        return position

    def region(self, row: int, what: str, size: float) -> int:
        """Address of the `size` bytes of what a row reads or writes: one behind the other, each repetition alike."""
        key = (row, what)
        if key not in self._regions:
            self._regions[key] = self._used
            self._used += -(-int(size) // _PAGE) * _PAGE
        return self._regions[key]


_PAGE = 4096
"""Bytes at whose multiples tensors begin."""
