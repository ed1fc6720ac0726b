"""Clients of several instances: which request is sent next, and when; as `serving.clients` has it for one server."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from npusim.workload.arrivals import FIRST, Arrival, Burst, Closed, Turns


class Clients(Protocol):
    """next_s: when the next request is due to be sent, infinite where none is before an answer; waits: whether answers
    decide when requests are sent."""

    next_s: float
    waits: bool

    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        """Requests that are sent now, each with the time at which it was due."""

    def answered(self, index: int, now_s: float) -> None:
        """Request `index` was answered or refused."""


class ClosedUsers:
    """Users who have at most one request in flight each, `count` requests in all.

    thinks_late: whether a request is due when the answer before it is there; else all are due at 0 (a burst).
    """

    waits = True

    def __init__(self, users: int, count: int, thinks_late: bool) -> None:
        self._unsent = deque(range(count))
        self._ready = min(users, count)
        self._thinks_late = thinks_late
        self.next_s = 0.0 if self._ready else math.inf

    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        while self._ready and self._unsent:
            self._ready -= 1
            yield self._unsent.popleft(), now_s if self._thinks_late else 0.0
        self._ready, self.next_s = 0, math.inf

    def answered(self, index: int, now_s: float) -> None:
        self._ready += 1
        self.next_s = now_s if self._unsent else math.inf


class TimedRequests:
    """Requests at times of their own. times_s: rising."""

    waits = False

    def __init__(self, times_s: list[float]) -> None:
        self._times_s = times_s
        self._sent = 0
        self.next_s = self._after(0.0)

    def _after(self, now_s: float) -> float:
        """The clock of a server goes on by delays, whose sum with it may be a bit off the time itself."""
        return now_s + (self._times_s[self._sent] - now_s) if self._sent < len(self._times_s) else math.inf

    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        while self.next_s <= now_s < math.inf:
            due_s = self.next_s
            self._sent += 1
            self.next_s = self._after(due_s)
            yield self._sent - 1, due_s

    def answered(self, index: int, now_s: float) -> None:
        """Nobody waits for it."""


class SessionTurns:
    """Turns of sessions: the first ones at times of their own, each other one a while after the answer before it."""

    waits = True

    def __init__(self, turns: Turns) -> None:
        self._turns, self._after = turns, turns.after.tolist()
        self._count = itertools.count()
        self._set: list[tuple[float, int, int]] = []
        self.next_s = math.inf
        for index, before in enumerate(turns.before):
            if before == FIRST:
                self._send_in(turns.wait_s[index], index, 0.0)

    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        while self._set and self._set[0][0] <= now_s:
            due_s, _, index = heapq.heappop(self._set)
            self.next_s = self._set[0][0] if self._set else math.inf
            yield index, due_s

    def answered(self, index: int, now_s: float) -> None:
        after = self._after[index]
        if after != FIRST:
            self._send_in(self._turns.wait_s[after], after, now_s)

    def _send_in(self, wait_s: float, index: int, now_s: float) -> None:
        heapq.heappush(self._set, (now_s + wait_s, next(self._count), index))
        self.next_s = self._set[0][0]


def clients_of(arrival: Arrival, requests: int, seed: int) -> Clients:
    """Who sends `requests` requests as `arrival` says."""
    if isinstance(arrival, Closed | Burst):
        return ClosedUsers(arrival.users, requests, isinstance(arrival, Closed))
    if isinstance(arrival, Turns):
        return SessionTurns(arrival)
    return TimedRequests(arrival.times_s(requests, seed).tolist())
