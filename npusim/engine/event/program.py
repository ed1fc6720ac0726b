"""From the rows of an OpTable to the commands of chips, in the order in which a compiler or a library emits them.

Fused PEs of a cluster of a contraction processor run one command stream in lockstep, so one command represents all of
them. Other units run one kernel after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import ceil, inf
from typing import Any

import numpy as np

from npusim.engine.event.command import (
    ALL_CLUSTERS,
    CACHE,
    CORE,
    DMA,
    HOST,
    LINK,
    MAIN,
    MEMORY,
    NO_ROW,
    OVERHEAD,
    PIM,
    SWITCH,
    UNITS,
    Command,
    Position,
    Program,
    Queue,
    Turn,
)
from npusim.engine.event.joining import Joining, joining
from npusim.engine.event.kernel import Kernel, kernel_of
from npusim.engine.event.memory import Access
from npusim.engine.event.network import add_collective
from npusim.engine.event.operators import Work, rest_of_units, work_of
from npusim.engine.event.order import Emitted, emitted
from npusim.engine.event.pipeline import Pipeline
from npusim.engine.event.setting import StepSetting
from npusim.kernels.launch import fixed_time, launch_time
from npusim.kernels.operator import row_collective_time
from npusim.kernels.unit import waves
from npusim.kernels.units.contraction_processor import further_matrices_time
from npusim.kernels.units.contraction_processor.attention import prompt_parts, shared_heads_time
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.kernels.units.contraction_processor.vector import program_time, vector_time
from npusim.mapping.grouped import joined_rows
from npusim.mapping.optable import ATTENTION, COLLECTIVE, LINEAR, SPLIT_ROWS, VECTOR

_ACTIVATION_BYTES = 2.0
_MOST_WAVES = 8
"""Waves of a kernel that are told apart; more are taken together."""


def build(rows: np.ndarray, setting: StepSetting, turns: int | None = None) -> Program:
    """The program of specialised rows, array of OP_DTYPE; `turns`: most repetitions of a segment that are written out.

    Raises UserError where a row has no tiling that fits into SRAM.
    """
    builder = _TileBuilder(rows, setting) if setting.is_tiled else _KernelBuilder(rows, setting)
    builder.launch()
    for segment in dict.fromkeys(rows["segment"].tolist()):
        members = np.flatnonzero(rows["segment"] == segment).tolist()
        repeat = int(rows[members[0]]["repeat"])
        for turn, rows_of_turn in enumerate(emitted(members, setting, min(turns or repeat, repeat))):
            builder.turn(segment, turn, rows_of_turn)
    builder.finish()
    return builder.program


class _Builder(ABC):
    """Emits one row after the other; `_ready[cluster]` are the commands after which the next row of its sub-batch may
    run there."""

    def __init__(self, rows: np.ndarray, setting: StepSetting, program: Program) -> None:
        self._rows, self._set, self.program = rows, setting, program
        self._pipelines = [
            Pipeline(self.program, cluster, chip, setting)
            for chip in range(setting.chips)
            for cluster in range(setting.clusters)
        ]
        self._ready: list[tuple[int, ...]] = [() for _ in self._pipelines]
        self._of_batch = [self._ready, self._ready]
        self._finished: dict[int, list[tuple[int, ...]]] = {}
        self._parts: dict[int, list[list[tuple[int, ...]]]] = {}

    def launch(self) -> None:
        """The host's start of the step."""
        fixed_s = float(fixed_time(self._rows, len(self._rows), self._set.runtime, self._set.path))
        starts = self._chip_wide(HOST, OVERHEAD, Position(NO_ROW, 0, 0), "step launch", fixed_s=fixed_s)
        for pipeline in self._pipelines:
            pipeline.begin(starts[pipeline.chip])
        self._of_batch = [self._ready, self._ready]

    def turn(self, segment: int, turn: int, rows: list[Emitted]) -> None:
        """The rows that are emitted in one repetition of a segment."""
        first = len(self.program.commands)
        for each in rows:
            batch = self._set.sub_batch(each.row)
            self._ready = self._of_batch[batch]
            self._row(each)
            self._of_batch[batch] = self._ready
        self.program.turns.append(Turn(segment, turn, first, len(self.program.commands)))

    def finish(self) -> None:
        """The end of the step: clusters meet."""
        self._ready = [_union(both) for both in zip(*self._of_batch, strict=True)]
        seconds = self._set.cycles_s("cluster_sync") if self._set.clusters > 1 else 0.0
        self._chip_wide(SWITCH, OVERHEAD, Position(NO_ROW, 0, 0), "clusters meet", fixed_s=seconds)

    def _row(self, each: Emitted) -> None:
        row, position = self._rows[each.row], Position(each.row, each.turn, 0)
        before = [self._finished[link] for link in (row["first_input"], row["second_input"]) if link in self._finished]
        if before and each.call:
            self._ready = [_union(ready) for ready in zip(*before, strict=True)]
        if row["kind"] == COLLECTIVE:
            self._collect(row, position)
        elif each.call and each.rest:
            self._operate(row, position)
        else:
            self._operate_part(row, position, each.call)
        self._finished[each.row] = list(self._ready)

    def _collect(self, row: Any, position: Position) -> None:
        """A collective over the chips: the part that runs beside the last tiles of its producer, then the rest."""
        network, ready = self._set.network, self._of_chips(self._ready)
        assert network is not None
        beside = self._part_beside(row)
        early = ready
        if beside > 0.0:
            parts = self._parts[int(row["first_input"])]
            overlap = float(self._set.machine["fabric_overlap"])
            begin = self._of_chips(parts[max(0, ceil((1.0 - overlap) * len(parts)) - 1)])
            early = network.send_part(self.program, row, beside, position, begin)
        self._ready = [
            after
            for after in add_collective(
                self.program,
                network,
                row,
                1.0 - beside,
                position,
                ready,
                early,
                self._set.launch_s("operator_launch"),
            )
            for _ in range(self._set.clusters)
        ]

    def _part_beside(self, row: Any) -> float:
        """Part of a collective, 0 to 1, that the time beside its producer's arithmetic or stream is enough for."""
        producer, costs = int(row["first_input"]), self._set.costs
        overlap = float(self._set.machine["fabric_overlap"])
        if overlap == 0.0 or costs is None or producer not in self._parts:
            return 0.0
        cost = costs[producer]
        busy = max(float(cost["contraction_s"] + cost["vector_s"]), float(cost["memory_s"]))
        return min(1.0, overlap * busy / float(row_collective_time(row, self._set.machine)))

    def _of_chips(self, ready: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """For each chip what all of its clusters are ready after."""
        clusters = self._set.clusters
        return [_union(ready[first : first + clusters]) for first in range(0, len(ready), clusters)]

    @abstractmethod
    def _operate(self, row: Any, position: Position) -> None:
        """Emit the commands of a row that is no collective."""

    @abstractmethod
    def _operate_part(self, row: Any, position: Position, call: bool) -> None:
        """Emit the call of units in memory for a row, or what is left of it to the chip."""

    def _compute_in_memory(self, chip: int, position: Position, cost: Any, ready: tuple[int, ...]) -> int:
        """The units of a chip compute, between two switches of the memory's mode; the last command.

        Rows are changed and mode registers written over the channel's own pins, so that no host traffic passes while
        the mode changes, even where it does beside units that compute (SAITPublic/PIMSimulator@b464dde).
        """
        switch_s, whole = float(cost["pim_mode_s"]) / 2.0, 1.0 + self._set.banks_beside_units
        seconds = float(cost["pim_s"] - cost["pim_mode_s"]) * self._set.refresh_of_units
        for what, lasts, banks in (("enter", switch_s, whole), ("compute", seconds, 1.0), ("leave", switch_s, whole)):
            if lasts > 0.0:
                queue = Queue(UNITS, ALL_CLUSTERS, chip)
                command = Command(queue, PIM, position, ready, lasts, asked=lasts, banks=banks, what=what)
                ready = (self.program.add(command),)
        return ready[0]

    def _chip_wide(
        self,
        engine: str,
        kind: str,
        position: Position,
        what: str,
        work_s: float = 0.0,
        fixed_s: float = 0.0,
        asked: float = 0.0,
    ) -> list[int]:
        """A command on every chip that waits for all of its clusters, and for which they all wait."""
        clusters, done = self._set.clusters, []
        for chip in range(self._set.chips):
            own = slice(chip * clusters, (chip + 1) * clusters)
            inputs = _union(self._ready[own])
            command = Command(
                Queue(engine, ALL_CLUSTERS, chip), kind, position, inputs, work_s, fixed_s, asked=asked, what=what
            )
            done.append(self.program.add(command))
            self._ready[own] = [(done[-1],)] * clusters
        return done

    def _met(self) -> list[tuple[int, ...]]:
        """For each cluster what all clusters of its chip are ready after."""
        return [met for met in self._of_chips(self._ready) for _ in range(self._set.clusters)]


class _TileBuilder(_Builder):
    """Rows of a contraction processor: tiles through the queues of each cluster."""

    def __init__(self, rows: np.ndarray, setting: StepSetting) -> None:
        kept = [float(row["activation_bytes"] - row["spilled"]) / setting.clusters for row in rows]
        edge = len(rows) if setting.second is None else setting.second
        resident = sum(max(part, default=0.0) for part in (kept[:edge], kept[edge:]))
        program = Program(room=setting.sram - resident, resident=resident, port=setting.sram_bytes_per_s)
        super().__init__(rows, setting, program)
        self._ahead = [*_time_ahead(rows[:edge], setting), *_time_ahead(rows[edge:], setting)]
        self._works: dict[int, Work] = {}

    def _operate(self, row: Any, position: Position) -> None:
        """Launch a row on every cluster, run its tiles, and join the partial results of the PEs."""
        if position.row not in self._works and not self._set.on_units(position.row):
            self._works[position.row] = work_of(row, self._set, self.program.room, self._ahead[position.row])
            plan = self._works[position.row].plan
            if plan is not None:
                self.program.plans[position.row] = plan
        if self._set.on_units(position.row):
            self._operate_part(row, position, call=True)
            self._operate_part(row, position, call=False)
            return
        work = self._works[position.row]
        waits = self._ready if self._set.fetches_ahead else self._met()
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
        for part in range(len(joined)):
            tile = len(work.tiles) * (part + 1) // len(joined) - 1
            self._ready = [each[tile] for each in ends]
            self._join(position._replace(tile=part), joined[part])

    def _join(self, position: Position, joined: Joining | float) -> None:
        """A reduction over the PEs of each chip, or one of which only the seconds are known."""
        if isinstance(joined, float):
            self._chip_wide(SWITCH, LINK, position, "reduction", work_s=joined)
            return
        for number in self._chip_wide(SWITCH, LINK, position, "reduction", 0.0, joined.fixed_s, joined.amount):
            self.program.commands[number].passes = joined.passes
            self.program.commands[number].streams = float(self._set.pes)

    def _operate_part(self, row: Any, position: Position, call: bool) -> None:
        """A row in memory: called by the chip, run by the units of all channels; then what is left to the chip."""
        assert self._set.costs is not None
        cost = self._set.costs[position.row]
        work = rest_of_units(row, cost, self._set, self.program.room)
        if call:
            self._call_units(position, cost, work)
            return
        ran, rest = self._of_chips(self._ready), work._replace(kept=0.0)
        ends = [pipeline.run(rest, position, ran[pipeline.chip][0]) for pipeline in self._pipelines]
        self._parts[position.row] = [[each[-1] for each in ends]]
        self._ready = [each[-1] for each in ends]

    def _call_units(self, position: Position, cost: Any, work: Work) -> None:
        self._chip_wide(HOST, OVERHEAD, position, "call units", fixed_s=float(cost["overhead_s"]))
        called = self._of_chips(self._ready)
        if work.kept > 0.0:
            # The units read the new keys and values, too.
            for pipeline in self._pipelines:
                called[pipeline.chip] += (pipeline.store_kv(position, called[pipeline.chip][0], work),)
        ran = [self._compute_in_memory(chip, position, cost, ready) for chip, ready in enumerate(called)]
        self._ready = [(ran[pipeline.chip],) for pipeline in self._pipelines]


class _KernelBuilder(_Builder):
    """Rows of a unit that runs one kernel after the other: waves of blocks, in each the stream beside the arithmetic.

    A kernel takes the bytes, the arithmetic and the fixed times of the closed forms; what its streams meet in memory is
    simulated. Its stream is no faster than the closed form's, which knows the SMs at work and the library's efficiency.
    """

    def __init__(self, rows: np.ndarray, setting: StepSetting) -> None:
        super().__init__(rows, setting, Program(room=inf, resident=0.0, port=inf))

    def _operate(self, row: Any, position: Position) -> None:
        self._operate_part(row, position, call=True)
        self._operate_part(row, position, call=False)

    def _operate_part(self, row: Any, position: Position, call: bool) -> None:
        """The launch, with the units' part of a row in memory; then the kernel's waves."""
        assert self._set.costs is not None
        cost = self._set.costs[position.row]
        if call:
            self._chip_wide(CORE, OVERHEAD, position, "launch", fixed_s=float(cost["overhead_s"]))
            self._call_units(position, cost)
            return
        count = min(_MOST_WAVES, max(1, int(waves(row, self._set.machine))))
        kernel = kernel_of(row, cost, self._set, count)
        self._parts[position.row] = []
        for wave in range(count):
            self._ready = [
                self._wave(chip, kernel, position._replace(tile=wave), ready) for chip, ready in enumerate(self._ready)
            ]
            self._parts[position.row].append(self._ready)
        if cost["link_s"] > 0.0:
            self._chip_wide(SWITCH, LINK, position, "reduction", work_s=float(cost["link_s"]))

    def _call_units(self, position: Position, cost: Any) -> None:
        if cost["pim_s"] > 0.0:
            ready = self._of_chips(self._ready)
            self._ready = [(self._compute_in_memory(chip, position, cost, each),) for chip, each in enumerate(ready)]

    def _wave(self, chip: int, kernel: Kernel, position: Position, ready: tuple[int, ...]) -> tuple[int, ...]:
        """The stream and the arithmetic of one wave on one chip; what the next one waits for."""
        done: list[int] = []
        stream = ready
        for part in kernel.streams:
            queue = Queue(DMA if part.from_memory else CACHE, 0, chip)
            first = self.program.region(position.row, part.what, part.amount)
            access = Access(first, reader=chip % self._set.sharers)
            command = Command(queue, MEMORY, position, stream, part.seconds, wanted=part.amount, asked=part.amount)
            command.streams, command.access, command.what = 1.0, access, part.what
            stream = (self.program.add(command),)
        done += stream if kernel.streams else ()
        for kind, seconds in kernel.arithmetic:
            command = Command(Queue(MAIN, 0, chip), kind, position, ready, seconds, what=kind)
            ready = (self.program.add(command),)
            done.append(ready[0])
        return tuple(sorted(set(done))) if done else ready


def _union(sets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({one for each in sets for one in each}))


def _launch_s(row: Any, setting: StepSetting) -> float:
    """Seconds of an operator's launch: attention's executions, and one after the other the matrices of experts."""
    seconds = float(launch_time(row, setting.runtime, setting.path))
    if row["kind"] == ATTENTION:
        seconds += float(prompt_parts(row)) * setting.launch_s("attention_execution")
    return seconds + float(further_matrices_time(row, setting.machine, setting.runtime, setting.path))


def _joins(row: Any, setting: StepSetting, work: Work) -> list[Joining] | list[float]:
    """The reductions over the PEs that end a row."""
    if work.plan is not None:
        if work.plan.choice.reduce_s == 0.0:
            return []
        results = _ACTIVATION_BYTES * float(joined_rows(row)) * row["n"]
        return [joining(results / work.plan.choice.reductions, setting)] * work.plan.choice.reductions
    shared = float(shared_heads_time(row, setting.machine, setting.pes)) if row["kind"] == ATTENTION else 0.0
    return [shared] if shared > 0.0 else []


def _time_ahead(rows: np.ndarray, setting: StepSetting) -> list[float]:
    """Seconds between the last transfer before each row and its start, in which a whole graph fetches its weights.

    Before the first rows of a segment that repeats come its last ones.
    """
    if not setting.fetches_ahead:
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
