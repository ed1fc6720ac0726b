"""When requests arrive: from clients that wait for their answers, all at once, or at random."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from npusim.errors import UserError
from npusim.inputs.limits import MOST_USERS

CLOSED = "closed"
"""The arrival of a run that is told none."""
TOGETHER, STAGGERED = "together", "staggered"
"""How the users of a closed loop start."""
_STARTS = {"start=together": False, "start=staggered": True}
_RATES = (1e-4, 1e6)
"""Requests/s: below, hours pass between two requests, and a clock that counts them in seconds loses milliseconds."""


@dataclass(frozen=True)
class Closed:
    """`users` clients; each sends its next request when its last one is answered.

    staggered: the first answer of each user is cut at another length, so that users of equal lengths end one after
    the other, as they do when a loop has long been running.
    """

    users: int
    staggered: bool = False

    def of_replica(self, replicas: int) -> Closed:
        """The users of one of `replicas` servers, the one with most."""
        return replace(self, users=-(-self.users // replicas))


@dataclass(frozen=True)
class Burst:
    """Every request is due at time 0, and the client keeps at most `users` of them in flight.

    That is `vllm bench serve --request-rate inf --max-concurrency USERS`, as furiosa-perf calls it: a request's clock
    starts when it is sent, and its wait at the client is reported apart.
    """

    users: int

    def of_replica(self, replicas: int) -> Burst:
        """The users of one of `replicas` servers, the one with most."""
        return Burst(-(-self.users // replicas))


@dataclass(frozen=True)
class Poisson:
    """Requests arrive independently of each other, `rate_per_s` a second on average."""

    rate_per_s: float

    def of_replica(self, replicas: int) -> Poisson:
        """The arrivals at one of `replicas` servers."""
        return Poisson(self.rate_per_s / replicas)

    def times_s(self, n: int, seed: int) -> NDArray[np.float64]:
        """When each of `n` requests arrives, shape (n,), rising; the same for the same seed."""
        return poisson_times(n, self.rate_per_s, seed)


@dataclass(frozen=True)
class Timed:
    """Requests arrive when a measured run or a trace has them, in seconds from its start, rising."""

    sent_s: tuple[float, ...]

    def of_replica(self, replicas: int) -> Timed:
        """The arrivals at the first of `replicas` servers."""
        return Timed(self.sent_s[::replicas])

    def only(self, places: NDArray[np.int64]) -> Timed:
        """Those of some requests, whose places rise."""
        return Timed(tuple(np.array(self.sent_s)[places].tolist()))

    @property
    def first(self) -> NDArray[np.int64]:
        """Each request comes by itself: its own place, int64 (requests,)."""
        return np.arange(len(self.sent_s))

    def times_s(self, n: int, _seed: int) -> NDArray[np.float64]:
        """When each of `n` requests arrives, shape (n,). ValueError for more of them than were sent."""
        if n > len(self.sent_s):
            raise ValueError(f"{n} requests, but {len(self.sent_s)} were sent")
        return np.array(self.sent_s[:n])


FIRST = -1
"""In place of the turn before the first one of a session."""


@dataclass(frozen=True)
class Turns:
    """Turns of sessions: the first one comes at a time of its own, each other one once the one before is answered.

    before: place of the turn before each one, FIRST for none, always an earlier place; wait_s: seconds from the start
    at which a first turn comes, and of another one from the answer before it until it is sent (think time).
    """

    before: tuple[int, ...]
    wait_s: tuple[float, ...]

    def of_replica(self, replicas: int) -> Turns:
        """The sessions of the first of `replicas` servers, whose places are `dealt`."""
        return self.only(np.array(self.dealt(replicas), np.int64))

    def only(self, places: NDArray[np.int64]) -> Turns:
        """Those of whole sessions, whose places rise."""
        new = np.full(len(self.before) + 1, FIRST, np.int64)
        new[places] = np.arange(len(places))
        before = new[np.array(self.before, np.int64)[places]]
        return Turns(tuple(before.tolist()), tuple(np.array(self.wait_s)[places].tolist()))

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Place of the first turn of each one's session, int64 (turns,)."""
        before = np.array(self.before, np.int64)
        found = np.where(before == FIRST, np.arange(len(before)), before)
        while (found[found] != found).any():
            found = found[found]
        return found

    def dealt(self, replicas: int) -> list[int]:
        """Places of the turns that the first of `replicas` servers gets when whole sessions are dealt out in turn."""
        session, own, sessions = [0] * len(self.before), [], 0
        for place, before in enumerate(self.before):
            session[place] = sessions if before == FIRST else session[before]
            sessions += before == FIRST
            if session[place] % replicas == 0:
                own.append(place)
        return own

    @cached_property
    def after(self) -> NDArray[np.int64]:
        """Place of the turn that follows each one, int64 (turns,), FIRST for none."""
        after = np.full(len(self.before), FIRST, np.int64)
        before = np.array(self.before, np.int64)
        after[before[before != FIRST]] = np.flatnonzero(before != FIRST)
        return after

    def times_s(self, n: int, _seed: int) -> NDArray[np.float64]:
        """When each of `n` turns would come if answers took no time, shape (n,)."""
        return earliest_s(np.array(self.before[:n]), np.array(self.wait_s[:n]))


Arrival = Closed | Burst | Poisson | Timed | Turns


def earliest_s(before: NDArray[np.int64], wait_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """When each turn would come if answers took no time, in seconds, shape (n,); `before`, `wait_s` as in `Turns`."""
    times_s: list[float] = []
    for place, wait in zip(before.tolist(), wait_s.tolist(), strict=True):
        times_s.append(wait if place == FIRST else times_s[place] + wait)
    return np.array(times_s)


def start_of(arrival: Arrival) -> str:
    """Whether users start together or out of step."""
    return STAGGERED if isinstance(arrival, Closed) and arrival.staggered else TOGETHER


def users_of(arrival: Arrival) -> int | None:
    """Most requests that clients have in flight; None where they do not wait for answers."""
    return arrival.users if isinstance(arrival, Closed | Burst) else None


def parse_arrival(text: str, concurrency: int | None) -> Arrival:
    """The arrival process written as closed, closed:start=staggered, burst or poisson:RATE (requests/s).

    Raises UserError for anything else.
    """
    if concurrency is not None and not 1 <= concurrency <= MOST_USERS:
        raise UserError("--concurrency", "", f"{concurrency:,} must be at least 1 and at most {MOST_USERS:,}")
    kind, colon, rate = text.strip().lower().partition(":")
    if kind == "poisson":
        return Poisson(_rate(rate, text))
    if concurrency is None and kind in (CLOSED, "burst"):
        raise UserError("--concurrency", "", f"is missing; '{text}' needs a number of users")
    if kind == CLOSED and (not colon or rate in _STARTS):
        return Closed(concurrency or 1, colon == ":" and _STARTS[rate])
    if kind == "burst" and not colon:
        return Burst(concurrency or 1)
    raise _mistake(text)


def poisson_times(n: int, rate_per_s: float, seed: int) -> NDArray[np.float64]:
    """Arrival times in seconds of `n` requests, shape (n,), rising; the same for the same seed."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.cumsum(generator.exponential(1 / rate_per_s, n))


def _rate(rate: str, text: str) -> float:
    try:
        value = float(rate)
    except ValueError as error:
        raise _mistake(text) from error
    if not math.isfinite(value) or value <= 0:
        raise UserError("--arrival", "", f"the rate in '{text}' must be more than zero requests/s")
    if not _RATES[0] <= value <= _RATES[1]:
        raise UserError("--arrival", "", f"the rate in '{text}' must be {_RATES[0]:g} to {_RATES[1]:g} requests/s")
    return value


def _mistake(text: str) -> UserError:
    return UserError(
        "--arrival",
        "",
        f"'{text}' is no arrival; use closed, burst or poisson:2.5 (requests/s), or closed:start=staggered",
    )
