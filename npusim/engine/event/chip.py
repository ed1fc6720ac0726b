"""A program on its chips in simulated time: its commands and resources as tables, which the compiled core runs.

A queue serves its commands in order. A command starts when its inputs are done, its queue is free and its tile has room
in SRAM; a transfer starts up while the one before it is under way, within the depth of the queue. At the port of a
cluster's SRAM the main context has priority over the sub context, and that over transfers
(furiosa-ai/furiosa-opt@ebb846a docs/src/scheduling/schedule.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.engine.event.command import CACHE, DMA, MAIN, MESSAGE, SUB, SWITCH, UNITS, Command, Program
from npusim.engine.event.core import state as core
from npusim.engine.event.core.loop import run_loop
from npusim.engine.event.memory import ARRIVING, COMMAND
from npusim.engine.event.setting import StepSetting

_STYLES = {DMA: core.TRANSFER, MAIN: core.MAIN_PROGRAM, SUB: core.FILL, MESSAGE: core.TRANSFER}
_STYLES |= {UNITS: core.MESSAGE, CACHE: core.MESSAGE}
_FIRST = 1e-6
"""Weight of units in seconds of banks for a second: far above that of any stream in bytes, so that they take the banks
before the host does, which gets what they leave."""
_DEPTHS = {MESSAGE: 64}
"""Messages between two chips that are under way; others than these are as many as the DMA queue holds."""
_OF_CLUSTERS = (DMA, MAIN, SUB)

_History = list[tuple[float, float]]


@dataclass(frozen=True)
class Record:
    """The course of a run: arrays over the commands of the program, in seconds.

    A command waited for `cause` (a command, -1: for nothing) until `since`, prepared until `start` (a transfer's
    start-up) and was under way until `end`; waited: what for (of core.WAITS); lost: seconds by which others that use
    its resources delayed it, by class (of core.CLASSES). rates: time, then bytes/s of each channel of the first chip's
    memory, (changes, 1 + channels); sram: (time, bytes) of each cluster of the first chip; events: number of events.
    """

    cause: np.ndarray
    since: np.ndarray
    start: np.ndarray
    end: np.ndarray
    waited: np.ndarray
    lost: np.ndarray
    rates: np.ndarray
    sram: dict[int, _History]
    events: int

    @property
    def time_s(self) -> float:
        return float(self.end.max())

    @property
    def rate(self) -> _History:
        """(time, bytes/s read from the first chip's memory) at each change."""
        return [(float(row[0]), float(row[1:].sum())) for row in self.rates]


class ChipRun:
    """One run of a program."""

    def __init__(self, program: Program, setting: StepSetting) -> None:
        self._program, self._set = program, setting
        self._queues = {queue: number for number, queue in enumerate(program.queues)}
        clusters = {queue[1:] for queue in program.queues if queue.engine in _OF_CLUSTERS}
        self._pools = {cluster: number for number, cluster in enumerate(sorted(clusters, key=lambda one: one[::-1]))}
        self._first_channel = 2 * len(self._pools)
        self._first_link = self._first_channel + setting.memories * setting.memory.every
        links = 0 if setting.network is None else len(setting.network.rates)
        self._first_bank = self._first_link + links
        self._on_chip = self._first_bank + (setting.memories * setting.memory.every if setting.has_units else 0)
        # Messages that pass memory are moved by the DMA engines of the PEs, as tiles are (assumed; it may be the card's
        # PCIe DMA: furiosa-ai/furiosa-opt@ebb846a docs/src/moving-tensors/dma-engine.md). Without any, tiles have all.
        # What they move passes memory too, so that they bind only where they are slower.
        shared = setting.engines_bytes_per_s < setting.memory_bytes_per_s
        shared = shared and any(command.passes > 0.0 for command in program.commands)
        self._engines = self._on_chip + setting.chips if shared else core.NONE

    def run(self) -> Record:
        """Serve every command. RuntimeError where commands wait for each other, ValueError for what never fits."""
        plant, work = self._plant(), self._work()
        state = core.new_state(plant, work)
        while (status := run_loop(plant, work, state)) != core.RUNNING:
            if status == core.NEVER_FITS:
                raise ValueError(f"a tile never fits into {self._program.room:.0f} bytes of SRAM")
            state = self._doubled(state) if status == core.HISTORY_FULL else self._measured(state)
        if not state.done.all():
            missing = int(np.flatnonzero(~state.done)[0])
            raise RuntimeError(f"command {missing} of {len(state.done)} never ran")
        return self._record(state)

    def _plant(self) -> core.Plant:
        """Resources: a port and its rest for fills of every cluster, the channels of every memory, the links, the banks
        where units compute on them, each chip's own network, and its DMA engines where messages use them, too.
        """
        model = self._set.memory
        first_link, first_bank, on_chip = self._first_link, self._first_bank, self._on_chip
        resources = on_chip + self._set.chips * (1 if self._engines == core.NONE else 2)
        capacity, classes = np.zeros(resources), np.full(resources, core.MEMORY)
        if self._set.network is not None:
            capacity[first_link:first_bank] = self._set.network.rates
        classes[first_link:first_bank] = core.LINK
        # Seconds of the banks for each second: those of the units, and what they leave to the host.
        capacity[first_bank:on_chip], classes[first_bank:on_chip] = 1.0 + self._set.banks_beside_units, core.BANKS
        capacity[: self._first_channel] = self._program.port
        classes[: self._first_channel : 2], classes[1 : self._first_channel : 2] = core.PORT, core.REGISTERS
        capacity[on_chip:], classes[on_chip:] = self._set.joining_bytes_per_s, core.ON_CHIP
        if self._engines != core.NONE:
            capacity[self._engines :], classes[self._engines :] = self._set.engines_bytes_per_s, core.ENGINES
        traced = self._first_channel + np.arange(model.every)
        machine = self._set.machine
        memories = np.zeros(self._set.memories, core.MEMORY_DTYPE)
        memories["first"] = self._first_channel + np.arange(len(memories)) * model.every
        memories["channels"], memories["mixes"] = model.every, model.depth == COMMAND
        memories["engine_rate"] = self._set.engine_bytes_per_s
        memories["limit"] = self._set.memory_bytes_per_s
        memories["sharpness"] = machine["memory_contention_sharpness"]
        depths = [_DEPTHS.get(queue.engine, self._set.depth) for queue in self._queues]
        pools = np.full(len(self._pools), self._program.room)
        return core.Plant(
            capacity, classes, memories, np.full(len(self._pools), self._program.port), pools, np.array(depths), traced
        )

    def _work(self) -> core.LoopWork:
        commands = self._program.commands
        table = np.zeros(len(commands), core.COMMAND_DTYPE)
        table["queue"] = [self._queues[command.queue] for command in commands]
        table["style"] = [_style(command) for command in commands]
        table["pool"] = table["port"] = [
            self._pools[command.queue[1:]] if command.queue.engine in _OF_CLUSTERS else core.NONE
            for command in commands
        ]
        ends = np.array([self._memories(command) for command in commands])
        table["memory"], table["second_memory"] = ends[:, 0], ends[:, 1]
        table["pattern"] = [self._set.memory.pattern(command.access) for command in commands]
        if self._set.network is not None:
            table["second_pattern"] = self._set.memory.pattern(ARRIVING)
        for name in ("fixed_s", "work_s", "touched", "streams", "claim", "release"):
            table[name] = [getattr(command, name) for command in commands]
        table["streams"][[command.queue.engine == UNITS for command in commands]] = _FIRST
        table["amount"] = [command.asked for command in commands]
        inputs, input_ends = listed([command.inputs for command in commands])
        followers, follower_ends = turned(inputs, input_ends)
        order, order_ends = listed(list(self._program.queues.values()))
        ways, shares, way_ends = self._ways(table)
        return core.LoopWork(
            table, inputs, input_ends, followers, follower_ends, order, order_ends, ways, shares, way_ends
        )

    def _memories(self, command: Command) -> tuple[int, int]:
        """The memories that a command draws on."""
        queue = command.queue
        if queue.engine == DMA:
            return queue.chip // self._set.sharers, core.NONE
        if command.passes == 0.0:
            return core.NONE, core.NONE
        source, target = (
            each // self._set.sharers if 0 <= each < self._set.chips else core.NONE
            for each in (queue.chip, queue.cluster)
        )
        return source, target

    def _ways(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The resources that each flow uses, and how many bytes of each for one of its own."""
        ways: list[np.ndarray] = []
        shares: list[np.ndarray] = []
        every = self._set.memory.every
        channels = np.arange(every)
        # A byte of a channel keeps its banks for so long.
        byte_s = every / self._set.memory_bytes_per_s
        banks = [self._first_bank + channels + every * memory for memory in range(self._set.memories)]
        for command, row in zip(self._program.commands, table, strict=True):
            engines = self._engines_of(command)
            if command.queue.engine == DMA and command.asked > 0.0:
                first = self._first_channel + row["memory"] * every
                ways.append(np.concatenate([[2 * row["port"]], first + channels]))
                of_channels = self._set.memory.shares(command.access, command.asked)
                shares.append(np.concatenate([[1.0], of_channels]))
                if self._set.has_units:
                    ways[-1] = np.concatenate([ways[-1], banks[row["memory"]]])
                    shares[-1] = np.concatenate([shares[-1], of_channels * byte_s])
            elif command.queue.engine == CACHE:
                ways.append(_NOTHING)
                shares.append(_NOTHING)
            elif command.queue.engine == UNITS:
                ways.append(banks[command.queue.chip // self._set.sharers])
                shares.append(np.full(every, command.banks))
            elif row["style"] == core.FILL:
                ways.append(np.array([2 * row["port"] + 1]))
                shares.append(np.ones(1))
            elif command.queue.engine == SWITCH and command.asked > 0.0 and command.passes == 0.0:
                ways.append(np.array([self._on_chip + command.queue.chip]))
                shares.append(np.ones(1))
            elif command.queue.engine in (MESSAGE, SWITCH) and command.asked > 0.0:
                memories = [each for each in (row["memory"], row["second_memory"]) if each != core.NONE]
                own = [self._first_channel + memory * every + channels for memory in memories]
                ways.append(np.concatenate([self._first_link + np.array(command.links, np.int64), *own]))
                of_links = np.full(len(command.links), command.link_bytes)
                shares.append(np.concatenate([of_links, *[np.full(every, command.passes / every)] * len(memories)]))
            else:
                ways.append(_NOTHING)
                shares.append(_NOTHING)
            if len(engines):
                ways[-1] = np.concatenate([ways[-1], engines])
                shares[-1] = np.concatenate([shares[-1], np.full(len(engines), command.passes or 1.0)])
        ends = np.concatenate([[0], np.cumsum([len(way) for way in ways])])
        return np.concatenate(ways).astype(np.int64), np.concatenate(shares).astype(float), ends

    def _engines_of(self, command: Command) -> np.ndarray:
        """The DMA engines, as resources, that move the bytes of a command: the chip's own, and those of a message's
        other end.
        """
        queue = command.queue
        moves = queue.engine == DMA or command.passes > 0.0
        if self._engines == core.NONE or command.asked <= 0.0 or not moves:
            return _NOTHING
        ends = (queue.chip,) if queue.engine == DMA else (queue.chip, queue.cluster)
        return np.array([self._engines + chip for chip in ends if 0 <= chip < self._set.chips])

    def _measured(self, state: core.LoopState) -> core.LoopState:
        """The state with the mix of patterns that it has met measured."""
        known, mix = state.counters[core.KNOWN], int(state.counters[core.WANTED])
        state.mixes[known] = mix
        state.scales[known] = self._set.memory.scale(mix)
        state.counters[core.KNOWN] += 1
        return state

    @staticmethod
    def _doubled(state: core.LoopState) -> core.LoopState:
        return state._replace(history=np.concatenate([state.history, np.zeros_like(state.history)]))

    def _record(self, state: core.LoopState) -> Record:
        levels: dict[int, _History] = {cluster: [(0.0, 0.0)] for (cluster, chip), _ in self._pools.items() if chip == 0}
        names = {number: cluster for (cluster, chip), number in self._pools.items() if chip == 0}
        for time, pool, held in state.levels[: state.counters[core.LEVELS]].tolist():
            if int(pool) in names:
                note(levels[names[int(pool)]], time, held)
        return Record(
            cause=state.cause,
            since=state.since,
            start=state.start,
            end=state.end,
            waited=state.waited,
            lost=state.lost,
            rates=_changes(state.history[: state.counters[core.HISTORY]]),
            sram=levels,
            events=int(state.counters[core.EVENTS]),
        )


_NOTHING = np.zeros(0)


def _style(command: Command) -> int:
    """How a command runs in the core."""
    if command.queue.engine == SWITCH:
        return core.MESSAGE if command.asked > 0.0 else core.PROGRAM
    return _STYLES.get(command.queue.engine, core.PROGRAM)


def _changes(history: np.ndarray) -> np.ndarray:
    """The history from time 0 on."""
    if len(history) and history[0, 0] == 0.0:
        return history
    return np.concatenate([np.zeros((1, history.shape[1])), history])


def note(history: _History, time: float, value: float) -> None:
    """Append `value` as of `time`; of several at one time the last counts, and one that changes nothing is left out."""
    if history[-1][0] == time:
        history.pop()
    if not history or history[-1][1] != value:
        history.append((time, value))


def listed(lists: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Lists as one array, and where each ends: list i is [ends[i] : ends[i + 1]]."""
    ends = np.concatenate([[0], np.cumsum([len(each) for each in lists], dtype=np.int64)]).astype(np.int64)
    return np.array([item for each in lists for item in each], np.int64), ends


def turned(inputs: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each command those that wait for it, from those that each waits for."""
    waiting = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    order = np.argsort(inputs, kind="stable")
    counts = np.bincount(inputs, minlength=len(ends) - 1)
    return waiting[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
