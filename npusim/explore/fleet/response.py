"""The rate of one instance with other numbers, from the curves of its simulated runs.

A run's figure on other numbers is the simulated one times what its two steps, a prompt and a decode step, cost there
over what they cost on the described machine, as in `evaluate`. Let g be the work of a request over that of the
described one. An instance under x / g requests a second is as busy as the described one under x; times to first tokens
are then those of the described one at x times the prompt's cost, times between tokens those times the decode step's.
The rate is the largest x at which every limit holds, over g; no more requests are in flight than have room in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from npusim.explore.fleet.capacity import Capacity, RatePoint
from npusim.serving.slo import Slo

_NEAR_ZERO = 2.0**-20
"""Part of the lowest simulated rate at which a user alone is taken to be."""


@dataclass(frozen=True)
class Scales:
    """Numbers of other instances over those of the described one, float64 (draws,) or one for all.

    prompt, decode: seconds of a prompt and of a decode step; room: tokens of KV that fit; isl, osl: mean tokens;
    computed: part of the prompts' tokens that is not found in the prefix cache; first, token: errors of the times to a
    first token and between tokens.
    """

    prompt: np.ndarray
    decode: np.ndarray
    room: np.ndarray
    isl: np.ndarray
    osl: np.ndarray
    computed: np.ndarray
    first: np.ndarray
    token: np.ndarray

    @classmethod
    def none(cls, count: int) -> Scales:
        """The described instance, `count` times."""
        one = np.ones(count)
        return cls(one, one, one, one, one, one, one, one)

    def change(self, **other: np.ndarray) -> Scales:
        """The same with some in place of its own."""
        return replace(self, **other)


@dataclass(frozen=True)
class Response:
    """capacity: with its curves; prompt_s, token_s: seconds of a mean prompt alone, and of the decode steps of a mean
    answer over the sequences that share them; in_flight_room: requests that KV memory holds; prompt_part: part of a
    request's tokens that is its prompt."""

    capacity: Capacity
    slo: Slo
    prompt_s: float
    token_s: float
    in_flight_room: float
    prompt_part: float

    def rates(self, scales: Scales) -> np.ndarray:
        """Requests a second of one instance at the objectives, float64 (draws,); 0 where one user alone breaks them."""
        own = self._equivalent(Scales.none(1))[0]
        return self.alone_rates(scales) / own * self.capacity.rate_per_s

    def alone_rates(self, scales: Scales) -> np.ndarray:
        """The same of an instance without a router, as the curves are."""
        found = self._equivalent(scales) / self.work(scales)
        return np.asarray(np.where(scales.room > 0.0, found, 0.0))

    def work(self, scales: Scales) -> np.ndarray:
        """Seconds of a request's steps over those of the described one."""
        whole = self.prompt_s + self.token_s
        prompt = scales.prompt * scales.isl * scales.computed
        decode = scales.decode * scales.osl * scales.token
        return np.asarray((self.prompt_s * prompt + self.token_s * decode) / whole)

    def _equivalent(self, scales: Scales) -> np.ndarray:
        """The rate x of the described instance at which the latencies, scaled, just keep every limit."""
        points = self._curve()
        rates = np.array([each.rate_per_s for each in points])
        found = np.full(np.shape(scales.decode), rates[-1])
        for name, limit in self.slo.limits:
            scaled = np.stack([self._scaled(name, each, scales) for each in points])
            found = np.minimum(found, _crossing(rates, np.maximum.accumulate(scaled, axis=0), limit))
        return np.minimum(found, self._in_memory(rates, points, scales))

    def _curve(self) -> tuple[RatePoint, ...]:
        """One user alone, as at a rate near zero, then points up to the last one that keeps up."""
        steady = []
        for each in self.capacity.points:
            if not each.steady:
                break
            steady.append(each)
        first = replace(self.capacity.alone, rate_per_s=steady[0].rate_per_s * _NEAR_ZERO)
        return first, *steady

    def _scaled(self, name: str, point: RatePoint, scales: Scales) -> np.ndarray:
        first = scales.prompt * scales.isl * scales.computed * scales.first
        token = scales.decode * scales.token
        value = point.metrics[name]
        if name.startswith("ttft"):
            return np.asarray(value * first)
        if not name.startswith("e2e"):
            return np.asarray(value * token)
        part = point.metrics["ttft_ms_mean"] / point.metrics["e2e_ms_mean"]
        return np.asarray(value * (part * first + (1.0 - part) * token * scales.osl))

    def _in_memory(self, rates: np.ndarray, points: tuple[RatePoint, ...], scales: Scales) -> np.ndarray:
        """The rate at which requests in flight fill the KV memory; the last one where they never do."""
        most = max(self.in_flight_room, self.capacity.at_rate.in_flight)
        longer = scales.decode * scales.token * scales.osl
        tokens = self.prompt_part * scales.isl + (1.0 - self.prompt_part) * scales.osl
        room = np.where(scales.room > 0.0, scales.room, 1.0)
        each = np.atleast_1d(longer * tokens / room / self.work(scales))
        in_flight = np.maximum.accumulate(np.array([point.in_flight for point in points]))
        return _crossing(rates, in_flight[:, None] * each[None, :], most)


def _crossing(rates: np.ndarray, values: np.ndarray, limit: float) -> np.ndarray:
    """The rate at which rising values, float64 (rates, draws), pass the limit: straight between points; the last rate
    where they do not, 0 where they begin beyond it."""
    beyond = values > limit
    at = np.where(beyond.any(axis=0), beyond.argmax(axis=0), len(rates))
    columns = np.arange(values.shape[1])
    after, before = np.minimum(at, len(rates) - 1), np.maximum(at - 1, 0)
    low, high = values[before, columns], values[after, columns]
    span = np.where(high > low, high - low, 1.0)
    part = np.clip((limit - low) / span, 0.0, 1.0)
    inside = rates[before] + part * (rates[after] - rates[before])
    return np.asarray(np.where(at == 0, 0.0, np.where(at == len(rates), rates[-1], inside)))
