"""A chip in simulated time: a SimPy process for every queue, and one memory that they share.

A queue serves its commands in order. A command starts when its inputs are done, its queue is free and its tile has room
in SRAM; a transfer starts up while the one before it is under way, within the depth of the queue. At the port of a
cluster's SRAM the main context has priority over the sub context, and that over transfers
(furiosa-ai/furiosa-opt@ebb846a docs/src/scheduling/schedule.md).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from npusim.engine.event.command import DMA, MAIN, SUB, Command, Program, Queue
from npusim.engine.event.resources import Buffer, Port, SharedBandwidth
from npusim.kernels.memory import stream_bandwidth

_Process = Generator[simpy.Event, Any, None]
_NOTHING = -1


@dataclass(frozen=True)
class Record:
    """The course of a run: arrays over the commands of the program, in seconds.

    A command waited for `cause` (a command, -1: for nothing) until `since`, prepared until `start` (a transfer's
    start-up) and was under way until `end`. rate: (time, bytes/s read from memory); sram: (time, bytes) of each
    cluster; events: number of events that the simulation processed.
    """

    cause: np.ndarray
    since: np.ndarray
    start: np.ndarray
    end: np.ndarray
    rate: list[tuple[float, float]]
    sram: dict[int, list[tuple[float, float]]]
    events: int

    @property
    def time_s(self) -> float:
        return float(self.end.max())


class _CountingEnvironment(simpy.Environment):
    events = 0

    def step(self) -> None:
        self.events += 1
        super().step()


class ChipRun:
    """One run of a program. depth: transfers that a DMA queue holds."""

    def __init__(self, program: Program, machine: Any) -> None:
        self._env = _CountingEnvironment()
        self._program = program
        self._depth = int(machine["tcp_dma_queue"])
        rates: dict[float, float] = {}
        self._memory = SharedBandwidth(
            self._env, lambda streams: rates.setdefault(streams, float(stream_bandwidth(machine, streams)))
        )
        clusters = {queue.cluster for queue in program.queues if queue.engine in (DMA, MAIN)}
        self._ports = {cluster: Port(self._env, program.port, self._memory, cluster) for cluster in sorted(clusters)}
        self._sram = {cluster: Buffer(self._env, program.room) for cluster in sorted(clusters)}
        count = len(program.commands)
        self._done = [False] * count
        self._awaited: dict[int, simpy.Event] = {}
        self._cause = [_NOTHING] * count
        self._since, self._start, self._end = ([0.0] * count for _ in range(3))

    def run(self) -> Record:
        """Serve every command. RuntimeError where commands wait for each other."""
        for queue, commands in self._program.queues.items():
            self._env.process(self._serve(queue, commands))
        self._env.run()
        if not all(self._done):
            raise RuntimeError(f"command {self._done.index(False)} of {len(self._done)} never ran")
        return Record(
            cause=np.array(self._cause),
            since=np.array(self._since),
            start=np.array(self._start),
            end=np.array(self._end),
            rate=self._memory.history,
            sram={cluster: buffer.history for cluster, buffer in self._sram.items()},
            events=self._env.events,
        )

    def _serve(self, queue: Queue, positions: list[int]) -> _Process:
        serve = self._transfer if queue.engine == DMA else self._execute
        for turn, position in enumerate(positions):
            command = self._program.commands[position]
            for before in command.inputs:
                if not self._done[before]:
                    yield self._end_of(before)
            yield from serve(command, position, positions, turn)
            self._end[position] = self._env.now
            self._done[position] = True
            if command.release:
                self._sram[queue.cluster].release(command.release, position)
            if position in self._awaited:
                self._awaited.pop(position).succeed()

    def _end_of(self, position: int) -> simpy.Event:
        if position not in self._awaited:
            self._awaited[position] = self._env.event()
        return self._awaited[position]

    def _execute(self, command: Command, position: int, positions: list[int], turn: int) -> _Process:
        before = (*command.inputs, positions[turn - 1]) if turn else command.inputs
        self._note(position, before)
        self._start[position] = self._env.now
        seconds = command.fixed_s + command.work_s
        if seconds == 0.0:
            return
        engine, cluster = command.queue
        if engine == MAIN:
            yield from self._ports[cluster].compute(seconds, command.touched)
        elif engine == SUB:
            yield from self._ports[cluster].fill(seconds, command.touched)
        else:
            yield self._env.timeout(seconds)

    def _transfer(self, command: Command, position: int, positions: list[int], turn: int) -> _Process:
        buffer = self._sram[command.queue.cluster]
        before = list(command.inputs)
        room = buffer.claim(command.claim) if command.claim else None
        if room is not None:
            yield room
            before.append(buffer.freed_by)
        accepted = before + positions[max(turn - self._depth, 0) : max(turn - self._depth + 1, 0)]
        ready = self._latest(accepted) + command.fixed_s
        if ready > self._env.now:
            self._note(position, accepted)
            yield self._env.timeout(ready - self._env.now)
        else:
            self._note(position, before + positions[max(turn - 1, 0) : turn])
        self._start[position] = self._env.now
        if command.asked > 0.0:
            yield self._memory.transfer(command.asked, command.streams, command.queue.cluster)

    def _latest(self, positions: list[int]) -> float:
        return max((self._end[position] for position in positions), default=0.0)

    def _note(self, position: int, before: tuple[int, ...] | list[int]) -> None:
        """Remember which of the commands `before` was the last to end, and when."""
        cause = max(before, key=lambda other: self._end[other], default=_NOTHING)
        self._cause[position] = cause
        self._since[position] = self._end[cause] if cause != _NOTHING else 0.0
