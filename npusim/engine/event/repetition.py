"""Repetition: a segment is simulated until its repetitions take the same course; the rest follow by arithmetic.

Two repetitions take the same course when each command of one ends by the same time after its counterpart in the other.
From then on the state at each border is the same but for that time, so all later ones do, too; only what the next
segment fetches early touches the last ones, and these are simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from npusim.engine.event.chip import ChipRun, Record
from npusim.engine.event.command import Command, Program, Turn
from npusim.engine.event.program import build
from npusim.engine.event.setting import StepSetting

_FIRST_TRY = 4
_ALIKE = 2.0**-36
"""Part of a step's time by which the times of two repetitions may differ, for rounding."""

_Change = Callable[[Command], Command]


def _unchanged(command: Command) -> Command:
    return command


@dataclass(frozen=True)
class RepeatedPart:
    """A turn that represents itself and `more` further ones, each `period_s` after the one before it."""

    turn: Turn
    more: int
    period_s: float


@dataclass(frozen=True)
class Simulation:
    """A program that ran, with the turns that were not written out.

    rows: the specialised rows, array of OP_DTYPE; events: of all attempts together.
    """

    rows: np.ndarray
    setting: StepSetting
    program: Program
    record: Record
    repeated: tuple[RepeatedPart, ...]
    events: int

    @property
    def time_s(self) -> float:
        return self.record.time_s + sum(each.more * each.period_s for each in self.repeated)

    def copies(self) -> np.ndarray:
        """How many commands of the whole step each simulated one represents: int64 (commands,)."""
        counts = np.ones(len(self.program.commands), np.int64)
        for each in self.repeated:
            counts[each.turn.first : each.turn.last] += each.more
        return counts

    def runs(self) -> Iterator[tuple[int, float, int]]:
        """(command, seconds by which it comes later in the whole step, repetitions after the one it represents), once
        for every time that the command runs.
        """
        repeated = {each.turn.first: each for each in self.repeated}
        delay, position = 0.0, 0
        while position < len(self.program.commands):
            each = repeated.get(position)
            if each is None:
                yield position, delay, self._skipped(position)
                position += 1
                continue
            for again in range(each.more + 1):
                for command in range(each.turn.first, each.turn.last):
                    yield command, delay + again * each.period_s, again
            delay += each.more * each.period_s
            position = each.turn.last

    def _skipped(self, position: int) -> int:
        """Repetitions left out before a command of the same segment."""
        segment = {self.rows["segment"][self.program.commands[position].position.row]}
        return sum(each.more for each in self.repeated if each.turn.segment in segment and position >= each.turn.last)


def simulate_program(rows: np.ndarray, setting: StepSetting, change: _Change = _unchanged) -> Simulation:
    """Simulate specialised rows, writing out as few repetitions as show that the rest take the same course.

    change: what is made of each command before the chip runs it.
    """
    longest = int(rows["repeat"].max())
    turns, events = _FIRST_TRY, 0
    while True:
        program = build(rows, setting, turns)
        program.commands = [change(command) for command in program.commands]
        record = ChipRun(program, setting).run()
        events += record.events
        repeated = _repeated(rows, program, record) if turns < longest else ()
        if repeated is not None:
            return Simulation(rows, setting, program, record, repeated, events)
        turns *= 2


def simulate_in_full(rows: np.ndarray, setting: StepSetting) -> Simulation:
    """Simulate every repetition."""
    program = build(rows, setting)
    record = ChipRun(program, setting).run()
    return Simulation(rows, setting, program, record, (), record.events)


def _repeated(rows: np.ndarray, program: Program, record: Record) -> tuple[RepeatedPart, ...] | None:
    """The turns that represent others; None where the repetitions do not yet take the same course."""
    found = []
    for segment in dict.fromkeys(turn.segment for turn in program.turns):
        turns = [turn for turn in program.turns if turn.segment == segment]
        repeat = int(rows["repeat"][rows["segment"] == segment][0])
        if repeat == len(turns):
            continue
        period = _period(turns, record)
        if period is None:
            return None
        found.append(RepeatedPart(turns[-2], repeat - len(turns), period))
    return tuple(found)


def _period(turns: list[Turn], record: Record) -> float | None:
    """Seconds from one repetition to the next, where the last but one is like the one before it."""
    before, after = (slice(turn.first, turn.last) for turn in turns[-3:-1])
    later = np.concatenate([times[after] - times[before] for times in (record.start, record.end)])
    if np.ptp(later) > _ALIKE * record.time_s:
        return None
    following = record.start[turns[-1].last :]
    if len(following) and following.min() < record.end[after].max():
        return None
    return float(later.mean())
