"""In which order rows are emitted: one repetition after the other, or two sub-batches in turn.

A runtime that interleaves sub-batches (NeuPIMs, Heo et al., ASPLOS 2024) has the chip compute for one of them while
units in memory compute for the other. Queues are in order, so that it emits what the chip does between two calls of the
units for one sub-batch, then for the other. What is left of the second after the last call of a repetition comes with
the next one, while the units compute for the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from npusim.engine.event.setting import StepSetting


class Emitted(NamedTuple):
    """A row and the repetition that it belongs to. Of a row on units two parts: the `call`, and what is left of it to
    the chip (`rest`)."""

    row: int
    turn: int
    call: bool = True
    rest: bool = True


def rows_in_turn(tables: list[np.ndarray]) -> np.ndarray:
    """The specialised rows of sub-batches as one table, inputs by their rows in it."""
    rows, before = [], 0
    for table in tables:
        own = table.copy()
        for name in ("first_input", "second_input"):
            own[name][own[name] >= 0] += before
        rows.append(own)
        before += len(table)
    return np.concatenate(rows)


def emitted(members: list[int], setting: StepSetting, count: int) -> Iterator[list[Emitted]]:
    """For each of `count` repetitions of a segment what is emitted in it."""
    batches = [[row for row in members if setting.sub_batch(row) == part] for part in (0, 1)]
    left: list[Emitted] = []
    for turn in range(count):
        first, second = (_stages(rows, setting, turn) for rows in batches)
        *between, last = second
        order = [*first[0], *left]
        for number, stage in enumerate(between):
            order += [*stage, *first[number + 1]]
        left = last
        if turn == count - 1 or not between:
            order, left = [*order, *left], []
        yield order


def _stages(rows: list[int], setting: StepSetting, turn: int) -> list[list[Emitted]]:
    """The rows of one sub-batch, cut after each call of the units."""
    stages: list[list[Emitted]] = [[]]
    for row in rows:
        if setting.second is not None and setting.on_units(row):
            stages[-1].append(Emitted(row, turn, rest=False))
            stages.append([Emitted(row, turn, call=False)])
        else:
            stages[-1].append(Emitted(row, turn))
    return stages
