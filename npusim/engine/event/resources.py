"""Building blocks of a chip in simulated time: a bandwidth that streams share, a buffer that fills.

Time is in seconds, amounts in bytes. Both keep the history that a timeline shows.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy


@dataclass(slots=True)
class _Flow:
    left: float
    streams: float
    port: int
    done: simpy.Event
    rate: float = 0.0


class SharedBandwidth:
    """A memory that streams share: `rate(streams)` bytes/s in all, in equal parts, each limited by its port.

    history: (time, bytes/s) at each change of the rate.
    """

    def __init__(self, env: simpy.Environment, rate: Callable[[float], float]) -> None:
        self._env = env
        self._rate = rate
        self._flows: list[_Flow] = []
        self._passing: dict[int, float] = {}
        self._since = 0.0
        self._turn = 0
        self.history: list[tuple[float, float]] = [(0.0, 0.0)]

    def transfer(self, amount: float, streams: float, port: int = 0) -> simpy.Event:
        """The event at which `amount` bytes have passed over `streams` engines through `port`."""
        self._settle()
        flow = _Flow(amount, streams, port, self._env.event())
        self._flows.append(flow)
        self._plan()
        return flow.done

    def limit(self, port: int, rate: float) -> None:
        """From now on `port` passes no more than `rate` bytes/s."""
        before = self._passing.get(port, math.inf)
        self._passing[port] = rate
        if any(flow.port == port and flow.rate >= min(before, rate) for flow in self._flows):
            self._settle()
            self._plan()

    def _settle(self) -> None:
        elapsed = self._env.now - self._since
        for flow in self._flows:
            flow.left -= elapsed * flow.rate
        self._since = self._env.now

    def _plan(self) -> None:
        """Share the rate anew and wake up when the next flow ends; an earlier wake-up no longer counts."""
        self._turn += 1
        streams = sum(flow.streams for flow in self._flows)
        total = self._rate(streams) if self._flows else 0.0
        for flow in self._flows:
            flow.rate = min(total * flow.streams / streams, self._passing.get(flow.port, math.inf))
        note(self.history, self._env.now, sum(flow.rate for flow in self._flows))
        wait = min((flow.left / flow.rate for flow in self._flows if flow.rate > 0.0), default=math.inf)
        if wait == math.inf:
            return
        wake = self._env.timeout(max(wait, 0.0), self._turn)
        wake.callbacks.append(self._end)

    def _end(self, wake: simpy.Event) -> None:
        if wake.value != self._turn:
            return
        times = [flow.left / flow.rate if flow.rate > 0.0 else math.inf for flow in self._flows]
        soonest = min(times)
        self._settle()
        ended = [math.isclose(time, soonest, rel_tol=_TOLERANCE, abs_tol=0.0) for time in times]
        for flow, over in zip(self._flows, ended, strict=True):
            if over:
                flow.done.succeed()
        self._flows = [flow for flow, over in zip(self._flows, ended, strict=True) if not over]
        self._plan()


_TOLERANCE = 2.0**-40
"""Part by which two times that are the same may differ, for rounding."""


class Port:
    """What the SRAM of one cluster passes, `rate` bytes/s: first programs of the main context, then those of the sub
    context, then transfers from and to `memory`.
    """

    def __init__(self, env: simpy.Environment, rate: float, memory: SharedBandwidth, cluster: int) -> None:
        self._env = env
        self._rate = rate
        self._memory, self._cluster = memory, cluster
        self._main = self._sub = 0.0
        self._registers = SharedBandwidth(env, lambda asked: asked)

    def compute(self, seconds: float, touched: float) -> Generator[simpy.Event, Any, None]:
        """A program of the main context, during which `touched` bytes pass."""
        self._draw(touched / seconds, self._sub)
        yield self._env.timeout(seconds)
        self._draw(0.0, self._sub)

    def fill(self, seconds: float, touched: float) -> Generator[simpy.Event, Any, None]:
        """A program of the sub context: `touched` bytes pass in `seconds` where nothing else wants the port."""
        self._draw(self._main, touched / seconds)
        yield self._registers.transfer(touched, touched / seconds)
        self._draw(self._main, 0.0)

    def _draw(self, main: float, sub: float) -> None:
        self._main, self._sub = main, sub
        self._registers.limit(0, max(0.0, self._rate - main))
        self._memory.limit(self._cluster, max(0.0, self._rate - main - sub))


def note(history: list[tuple[float, float]], time: float, value: float) -> None:
    """Append `value` as of `time`; of several at one time the last counts, and one that changes nothing is left out."""
    if history[-1][0] == time:
        history.pop()
    if not history or history[-1][1] != value:
        history.append((time, value))


class Buffer:
    """A memory of `capacity` bytes; claims are served in order, each as soon as there is room.

    history: (time, bytes held) at each change; freed_by: who released last.
    """

    def __init__(self, env: simpy.Environment, capacity: float) -> None:
        self._env = env
        self._waiting: deque[tuple[float, simpy.Event]] = deque()
        self.capacity = capacity
        self.held = 0.0
        self.freed_by = -1
        self.history: list[tuple[float, float]] = [(0.0, 0.0)]

    def claim(self, amount: float) -> simpy.Event | None:
        """None where there is room at once, else the event at which there is. ValueError for what never fits."""
        if amount > self.capacity:
            raise ValueError(f"{amount} bytes never fit into {self.capacity}")
        if not self._waiting and self.held + amount <= self.capacity:
            self._hold(amount)
            return None
        room = self._env.event()
        self._waiting.append((amount, room))
        return room

    def release(self, amount: float, by: int) -> None:
        """Give back `amount` bytes; `by` names who does."""
        self._hold(-amount)
        self.freed_by = by
        while self._waiting and self.held + self._waiting[0][0] <= self.capacity:
            amount, room = self._waiting.popleft()
            self._hold(amount)
            room.succeed()

    def _hold(self, amount: float) -> None:
        self.held += amount
        note(self.history, self._env.now, self.held)
