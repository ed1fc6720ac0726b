"""When requests arrive: from clients that wait for their answers, all at once, or at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npusim.errors import UserError
from npusim.inputs.limits import MOST_USERS

_RATES = (1e-4, 1e6)
"""Requests/s: below, hours pass between two requests, and a clock that counts them in seconds loses milliseconds."""


@dataclass(frozen=True)
class Closed:
    """`users` clients; each sends its next request when its last one is answered."""

    users: int

    def of_replica(self, replicas: int) -> Closed:
        """The users of one of `replicas` servers, the one with most."""
        return Closed(-(-self.users // replicas))


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


Arrival = Closed | Burst | Poisson


def parse_arrival(text: str, concurrency: int) -> Arrival:
    """The arrival process written as closed, burst or poisson:RATE (requests/s), or a UserError."""
    if not 1 <= concurrency <= MOST_USERS:
        raise UserError("--concurrency", "", f"{concurrency:,} must be at least 1 and at most {MOST_USERS:,}")
    kind, colon, rate = text.strip().lower().partition(":")
    if kind == "poisson":
        return Poisson(_rate(rate, text))
    if kind == "closed" and not colon:
        return Closed(concurrency)
    if kind == "burst" and not colon:
        return Burst(concurrency)
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
    return UserError("--arrival", "", f"'{text}' is no arrival; use closed, burst or poisson:2.5 (requests/s)")
