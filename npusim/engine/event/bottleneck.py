"""Bottlenecks: the critical path of a step, and the time that would be saved if a resource were free.

At every moment the critical path is the command that the step waited for, and the resource to which its time counts;
its pieces sum to the step's time. What a free resource saves is found by simulating the step without it, since another
resource then becomes the bottleneck: at most the resource's share of the path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from npusim.engine.event.chip import Record
from npusim.engine.event.command import DMA, LINK, MESSAGE, OVERHEAD, SWITCH, Command, Program
from npusim.engine.event.repetition import Simulation, simulate_program

Shares = dict[tuple[int, str], float]


class Piece(NamedTuple):
    """`seconds` of the critical path that a command spent on what `kind` says."""

    command: int
    kind: str
    seconds: float


def critical_path(program: Program, record: Record) -> Iterator[Piece]:
    """Pieces from the end of the simulated commands to their beginning; they sum to the record's time."""
    position = int(record.end.argmax())
    while position >= 0:
        yield from _pieces(position, program.commands[position], record)
        position = int(record.cause[position])


def _pieces(position: int, command: Command, record: Record) -> Iterator[Piece]:
    """What a command spent on start-up, a transfer's before it starts, and on its work."""
    since, start, end = (float(times[position]) for times in (record.since, record.start, record.end))
    if _is_message(command):
        yield Piece(position, command.kind, end - since)
        return
    fixed = start - since if command.queue.engine == DMA else min(command.fixed_s, end - since)
    if fixed > 0.0:
        yield Piece(position, OVERHEAD, fixed)
    if end - since - fixed > 0.0:
        yield Piece(position, command.kind, end - since - fixed)


def _is_message(command: Command) -> bool:
    """Whether all of its time counts to its link: messages between chips, and those that join partial sums."""
    return command.queue.engine in (MESSAGE, SWITCH) and command.kind == LINK


def path_shares(simulation: Simulation) -> Shares:
    """Seconds of the whole step's critical path by row of the OpTable (-1: none) and kind; they sum to its time."""
    copies = simulation.copies()
    shares: Shares = defaultdict(float)
    for piece in critical_path(simulation.program, simulation.record):
        shares[simulation.program.commands[piece.command].position.row, piece.kind] += (
            piece.seconds * copies[piece.command]
        )
    return dict(shares)


def saved_if_free(simulation: Simulation, kind: str, row: int | None = None) -> float:
    """Seconds by which the step would be shorter if what counts as `kind`, in one row or in all, took no time."""

    def change(command: Command) -> Command:
        if row is not None and command.position.row != row:
            return command
        if _is_message(command):
            return replace(command, fixed_s=0.0, work_s=0.0, asked=0.0) if kind == LINK else command
        if kind == OVERHEAD:
            return replace(command, fixed_s=0.0, work_s=0.0 if command.kind == kind else command.work_s)
        return replace(command, work_s=0.0, asked=0.0, touched=0.0) if command.kind == kind else command

    return simulation.time_s - simulate_program(simulation.rows, simulation.setting, change).time_s
