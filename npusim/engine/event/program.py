"""From the rows of an OpTable to the commands of a contraction processor, in the order in which a compiler emits them.

Fused PEs of a cluster run one command stream in lockstep, so one command represents all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

import numpy as np

from npusim.engine.event.command import (
    ALL_CLUSTERS,
    CORE,
    HOST,
    LINK,
    NO_ROW,
    OVERHEAD,
    SWITCH,
    Command,
    Position,
    Program,
    Queue,
    Turn,
)
from npusim.engine.event.network import add_collective
from npusim.engine.event.operators import Work, work_of
from npusim.engine.event.pipeline import Pipeline
from npusim.engine.event.setting import StepSetting
from npusim.kernels.units.contraction_processor import further_matrices_time
from npusim.kernels.units.contraction_processor.attention import prompt_parts, shared_heads_time
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.kernels.units.contraction_processor.vector import program_time, vector_time
from npusim.mapping.grouped import joined_rows
from npusim.mapping.optable import ATTENTION, COLLECTIVE, LINEAR, SPLIT_ROWS, VECTOR

_ACTIVATION_BYTES = 2.0


def build(rows: np.ndarray, setting: StepSetting, turns: int | None = None) -> Program:
    """The program of specialised rows, array of OP_DTYPE; `turns`: most repetitions of a segment that are written out.

    Raises UserError where a row has no tiling that fits into SRAM.
    """
    builder = _Builder(rows, setting)
    builder.launch()
    for segment in dict.fromkeys(rows["segment"].tolist()):
        members = np.flatnonzero(rows["segment"] == segment).tolist()
        repeat = int(rows[members[0]]["repeat"])
        for turn in range(repeat if turns is None else min(turns, repeat)):
            builder.turn(members, turn)
    builder.finish()
    return builder.program


class _Builder:
    """Emits one row after the other; `_ready[cluster]` are the commands after which the next row may run there."""

    def __init__(self, rows: np.ndarray, setting: StepSetting) -> None:
        self._rows, self._set = rows, setting
        kept = [float(row["activation_bytes"] - row["spilled"]) / setting.clusters for row in rows]
        resident = max(kept, default=0.0)
        self.program = Program(room=setting.sram - resident, resident=resident, port=setting.sram_bytes_per_s)
        self._ahead = _time_ahead(rows, setting)
        self._works: dict[int, Work] = {}
        self._pipelines = [
            Pipeline(self.program, cluster, chip, setting)
            for chip in range(setting.chips)
            for cluster in range(setting.clusters)
        ]
        self._ready: list[tuple[int, ...]] = [() for _ in self._pipelines]
        self._finished: dict[int, list[tuple[int, ...]]] = {}
        self._parts: dict[int, list[list[tuple[int, ...]]]] = {}

    def launch(self) -> None:
        """The host's start of the step."""
        starts = self._chip_wide(
            HOST, OVERHEAD, Position(NO_ROW, 0, 0), "step launch", fixed_s=self._set.launch_s("step_launch")
        )
        for pipeline in self._pipelines:
            pipeline.begin(starts[pipeline.chip])

    def turn(self, members: list[int], turn: int) -> None:
        """The rows of one repetition of a segment."""
        first = len(self.program.commands)
        self._finished = {}
        for index in members:
            self._row(index, turn)
        self.program.turns.append(Turn(int(self._rows[members[0]]["segment"]), turn, first, len(self.program.commands)))

    def finish(self) -> None:
        """The end of the step: clusters meet."""
        seconds = self._set.cycles_s("cluster_sync") if self._set.clusters > 1 else 0.0
        self._chip_wide(SWITCH, OVERHEAD, Position(NO_ROW, 0, 0), "clusters meet", fixed_s=seconds)

    def _row(self, index: int, turn: int) -> None:
        row, position = self._rows[index], Position(index, turn, 0)
        before = [self._finished[link] for link in (row["first_input"], row["second_input"]) if link in self._finished]
        if before:
            self._ready = [
                tuple(sorted({one for ready in each for one in ready})) for each in zip(*before, strict=True)
            ]
        if row["kind"] == COLLECTIVE:
            self._collect(row, position)
        else:
            self._operate(row, position)
        self._finished[index] = list(self._ready)

    def _collect(self, row: Any, position: Position) -> None:
        """A collective over the chips, which starts while the last tiles of its producer are computed where it can."""
        network, overlap = self._set.network, float(self._set.machine["fabric_overlap"])
        assert network is not None
        parts = self._parts.get(int(row["first_input"]), [self._ready])
        begin = parts[max(0, ceil((1.0 - overlap) * len(parts)) - 1)]
        launch = self._set.launch_s("operator_launch")
        ended = add_collective(
            self.program, network, row, position, self._of_chips(begin), self._of_chips(self._ready), launch
        )
        self._ready = [after for after in ended for _ in range(self._set.clusters)]

    def _of_chips(self, ready: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """For each chip what all of its clusters are ready after."""
        clusters = self._set.clusters
        return [_union(ready[first : first + clusters]) for first in range(0, len(ready), clusters)]

    def _operate(self, row: Any, position: Position) -> None:
        """Launch a row on every cluster, run its tiles, and join the partial results of the PEs."""
        if position.row not in self._works:
            self._works[position.row] = work_of(row, self._set, self.program.room, self._ahead[position.row])
            plan = self._works[position.row].plan
            if plan is not None:
                self.program.plans[position.row] = plan
        work = self._works[position.row]
        waits = self._ready if self._set.whole_step else self._met()
        seconds = _launch_s(row, self._set)
        ends = []
        for number, pipeline in enumerate(self._pipelines):
            launched = self.program.add(
                Command(
                    Queue(CORE, pipeline.cluster, pipeline.chip),
                    OVERHEAD,
                    position,
                    waits[number],
                    fixed_s=seconds,
                    what="launch",
                )
            )
            ends.append(pipeline.run(work, position, launched))
        self._parts[position.row] = [list(each) for each in zip(*ends, strict=True)]
        self._ready = [each[-1] for each in ends]
        joined = _joins(row, self._set, work)
        if joined:
            self._parts[position.row] = []
        for part in range(len(joined)):
            tile = len(work.tiles) * (part + 1) // len(joined) - 1
            self._ready = [each[tile] for each in ends]
            self._chip_wide(SWITCH, LINK, position._replace(tile=part), "reduction", work_s=joined[part])
            self._parts[position.row].append(self._ready)

    def _chip_wide(
        self, engine: str, kind: str, position: Position, what: str, work_s: float = 0.0, fixed_s: float = 0.0
    ) -> list[int]:
        """A command on every chip that waits for all of its clusters, and for which they all wait."""
        clusters, done = self._set.clusters, []
        for chip in range(self._set.chips):
            own = slice(chip * clusters, (chip + 1) * clusters)
            inputs = _union(self._ready[own])
            command = Command(Queue(engine, ALL_CLUSTERS, chip), kind, position, inputs, work_s, fixed_s, what=what)
            done.append(self.program.add(command))
            self._ready[own] = [(done[-1],)] * clusters
        return done

    def _met(self) -> list[tuple[int, ...]]:
        """For each cluster what all clusters of its chip are ready after."""
        return [met for met in self._of_chips(self._ready) for _ in range(self._set.clusters)]


def _union(sets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({one for each in sets for one in each}))


def _launch_s(row: Any, setting: StepSetting) -> float:
    """Seconds of an operator's launch: attention's executions, and one after the other the matrices of experts."""
    seconds = setting.launch_s("operator_launch")
    if row["kind"] == ATTENTION:
        seconds += float(prompt_parts(row)) * setting.launch_s("attention_execution")
    return seconds + float(further_matrices_time(row, setting.machine, setting.runtime, setting.path))


def _joins(row: Any, setting: StepSetting, work: Work) -> list[float]:
    """Seconds of each reduction over the PEs that ends a row."""
    if work.plan is not None:
        return [work.plan.choice.reduce_s] * work.plan.choice.reductions if work.plan.choice.reduce_s > 0.0 else []
    shared = float(shared_heads_time(row, setting.machine, setting.pes)) if row["kind"] == ATTENTION else 0.0
    return [shared] if shared > 0.0 else []


def _time_ahead(rows: np.ndarray, setting: StepSetting) -> list[float]:
    """Seconds between the last transfer before each row and its start, in which a whole graph fetches its weights.

    Before the first rows of a segment that repeats come its last ones.
    """
    if not setting.whole_step:
        return [0.0] * len(rows)
    ahead = [0.0] * len(rows)
    order = [position for segment in dict.fromkeys(rows["segment"].tolist()) for position in _twice(rows, segment)]
    since = 0.0
    for position in order:
        row = rows[position]
        since += _launch_s(row, setting)
        ahead[position] = since
        if row["kind"] == LINEAR:
            since = 0.0
            if row["split"] == SPLIT_ROWS:
                partial = _ACTIVATION_BYTES * float(joined_rows(row)) * row["n"]
                since = float(on_chip_reduction_time(partial, setting.machine, setting.pes))
        elif row["kind"] == VECTOR:
            since += float(vector_time(row, setting.machine, setting.pes) + program_time(row, setting.machine))
    return ahead


def _twice(rows: np.ndarray, segment: int) -> list[int]:
    """The positions of a segment's rows, twice where it repeats."""
    members = np.flatnonzero(rows["segment"] == segment).tolist()
    return members * (2 if rows[members[0]]["repeat"] > 1 else 1)
