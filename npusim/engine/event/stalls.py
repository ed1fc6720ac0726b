"""Stalls: how long the units stood still, or were slowed by others, and what for."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from npusim.engine.event.chip import Record
from npusim.engine.event.command import DMA, MAIN, Program
from npusim.engine.event.core.state import CLASSES, INPUTS, ROOM, START_UP, WAITS
from npusim.engine.event.repetition import Simulation
from npusim.units import US_PER_S

Stalls = dict[tuple[str, str], float]
"""Seconds by unit and cause."""
SHARED = "a shared"
"""How causes begin that slow a unit down without stopping it."""


def stalls_of(simulation: Simulation) -> Stalls:
    """Seconds of the whole step for which each kind of unit waited or was slowed, mean over the units of that kind."""
    program, record, copies = simulation.program, simulation.record, simulation.copies()
    stalls: Stalls = defaultdict(float)
    units: dict[str, int] = defaultdict(int)
    for queue, positions in program.queues.items():
        units[queue.engine] += 1
        free = np.concatenate([[0.0], record.end[positions[:-1]]])
        idle = np.maximum(0.0, record.start[positions] - free)
        for position, seconds in zip(positions, idle.tolist(), strict=True):
            unit, times = queue.engine, int(copies[position])
            starting = min(seconds, program.commands[position].fixed_s) if _starts(record, position) else 0.0
            if starting > 0.0:
                stalls[unit, WAITS[START_UP]] += starting * times
            if seconds > starting:
                stalls[unit, _cause(program, record, position)] += (seconds - starting) * times
            for number in np.flatnonzero(record.lost[position]):
                stalls[unit, f"{SHARED} {CLASSES[number]}"] += float(record.lost[position, number]) * times
    return {key: seconds / units[key[0]] for key, seconds in stalls.items()}


def stall_details(record: Record, position: int) -> dict[str, float]:
    """Microseconds that a command waited after what it waited for last, and that others took from it, by class."""
    lost = record.lost[position]
    details = {f"lost to a shared {CLASSES[number]} [us]": float(lost[number]) for number in np.flatnonzero(lost)}
    details[f"after {WAITS[record.waited[position]]} [us]"] = float(record.start[position] - record.since[position])
    return {name: seconds * US_PER_S for name, seconds in details.items()}


def _starts(record: Record, position: int) -> bool:
    return bool(record.waited[position] == START_UP)


def _cause(program: Program, record: Record, position: int) -> str:
    """In words, what an idle unit waited for before a command."""
    waited, cause = int(record.waited[position]), int(record.cause[position])
    if waited not in (INPUTS, START_UP) or cause < 0:
        return "room in SRAM" if waited == ROOM else WAITS[waited]
    before = program.commands[cause]
    if program.commands[position].queue.engine == DMA and before.queue.engine == MAIN:
        return "a tile to be used up (DMA queue)"
    return f"{before.kind}: {before.what}"
