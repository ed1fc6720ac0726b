"""Profiles: what users of a service ask for over a day, and how long what they send and get is.

A profile is a file of `workloads/profiles`. Every number in it has its provenance and, where it is assumed, a range:
what a fleet is sized for is as uncertain as the chips that it is made of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from npusim.hardware.base import Part
from npusim.hardware.yaml_file import load_yaml
from npusim.ledger import Duration, Fraction, Positive, Quantity, Ratio, Stretch, Tokens, in_unit
from npusim.workload.lengths import LogNormal
from npusim.workload.shipped import file_of, shipped

HOURS = 24
"""Of a day."""
SECONDS_PER_HOUR = 3600.0
"""Of an hour."""
OPTION = "--profile"
_ONE = 1e-6
"""By how much shares may miss a sum of 1: rounding."""
_EVEN = 1024
"""Even quantiles of a distribution of lengths from which its mean is taken."""
_STEEPEST = 64.0
"""Largest power to which the shape of a day is raised: all requests then come in its busiest hour."""
_Sigma = Annotated[Quantity, in_unit("", zero=True, most=3.0)]
_Kept = Annotated[Quantity, in_unit("", zero=True, most=1e6)]
"""A count of things that are held ready or kept."""


class TokenLengths(Part):
    """Lengths of prompts or answers: lognormal, cut off at the longest."""

    median: Tokens
    """Length that half of them do not exceed, in tokens."""
    sigma: _Sigma
    """Standard deviation of the logarithm of the length."""
    longest: Tokens
    """Length at which the distribution is cut off, in tokens."""

    @model_validator(mode="after")
    def _median_is_shorter(self) -> TokenLengths:
        if self.median.value >= self.longest.value:
            raise ValueError(f"a median of {self.median.text} is not below the longest, {self.longest.text}")
        return self

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """`count` lengths in tokens, int64 (count,), at even quantiles in random order."""
        longest = max(2, round(self.longest.value))
        median = min(max(1, round(self.median.value)), longest - 1)
        return LogNormal(self.sigma.value, True, longest).draw(median, count, generator)

    @property
    def mean(self) -> float:
        """Mean length in tokens."""
        return float(self.draw(_EVEN, np.random.default_rng(0)).mean())


class RequestKind(Part):
    """One kind of requests among those that users send."""

    name: str
    """Name of the kind, for people."""
    share: Fraction
    """Fraction of all requests that are of this kind, 0 to 1; those of all kinds sum to 1."""
    prompt: TokenLengths
    """Lengths of whole prompts, with what earlier turns of the session left in them."""
    output: TokenLengths
    """Lengths of answers."""


class ProfileTraffic(Part):
    """When users send requests: how many a day, and how these lie over its hours."""

    active_share: Fraction
    """Fraction of the users who use the service on a day, 0 to 1."""
    sessions: Positive
    """Number of sessions of an active user on a day."""
    turns: Stretch
    """Mean number of requests of a session."""
    turn_gap: Duration
    """Mean time from one request of a session to the next, in seconds."""
    hours: tuple[Positive, ...] = Field(min_length=HOURS, max_length=HOURS)
    """How busy each hour of the day is relative to others, from midnight on: the shape of the day."""
    busy_hour_share: Fraction
    """Fraction of a day's requests that come in its busiest hour (1/24 at the least); the shape is stretched to it."""
    within_hour: Stretch
    """Requests a second of the busiest minutes over the mean of the busiest hour."""

    @model_validator(mode="after")
    def _an_hour_is_busiest(self) -> ProfileTraffic:
        if self.busy_hour_share.value * HOURS < 1.0:
            raise ValueError(f"busy_hour_share {self.busy_hour_share.text} is less than 1/24; no busiest hour has less")
        if self.busy_hour_share.value >= _largest_share(self._shape):
            raise ValueError(f"hours cannot be stretched to a busy_hour_share of {self.busy_hour_share.text}")
        return self

    @property
    def _shape(self) -> np.ndarray:
        shape = np.array([each.value for each in self.hours])
        return np.asarray(shape / shape.max())

    @property
    def shares(self) -> np.ndarray:
        """Fraction of a day's requests in each hour, float64 (24,): the shape to the power that gives the busiest hour
        its share (busy-hour traffic, ITU-T E.500)."""
        from scipy.optimize import brentq

        def excess(power: float) -> float:
            parts = self._shape**power
            return float(1.0 / parts.sum() - self.busy_hour_share.value)

        flat, steep = (excess(power) for power in (0.0, _STEEPEST))
        power = 0.0 if flat >= 0.0 else _STEEPEST if steep <= 0.0 else brentq(excess, 0.0, _STEEPEST)
        parts = self._shape**power
        return np.asarray(parts / parts.sum())


def _largest_share(shape: np.ndarray) -> float:
    return float(1.0 / (shape**_STEEPEST).sum())


class Headroom(Part):
    """What a fleet has beyond what the load asks for."""

    planned_load: Annotated[Quantity, in_unit("", most=1.0)]
    """Fraction of the rate at which an instance just keeps the objectives, to which it is loaded at the peak."""
    spare_servers: _Kept
    """Number of servers that may be out of service at once."""
    spare_racks: _Kept
    """Number of racks that may be out of service at once, with the servers in them, at most as many as the load needs;
    the larger of this and `spare_servers` is added."""


class KeptLogits(Part):
    """What is kept of a teacher's answers for distillation."""

    per_token: _Kept
    """Number of logits that are kept of each output token, the largest ones."""
    bytes_each: Annotated[Quantity, in_unit("B")]
    """Size of one of them with its index, in bytes."""


class Profile(Part):
    """What a service is asked for."""

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    requests: tuple[RequestKind, ...] = Field(min_length=1, max_length=64)
    """Kinds of requests and their lengths."""
    reuse: Fraction
    """Fraction of the tokens of a prompt that repeat the beginning of the session's prompt before it, 0 to 1; a runtime
    with a prefix cache finds them there as long as it keeps them."""
    traffic: ProfileTraffic | None = None
    """When users send requests; left out where nobody waits for answers (offline)."""
    growth: Ratio | None = None
    """Fraction by which users become more in a year, 0 if omitted."""
    headroom: Headroom
    """What the fleet has beyond what the load asks for."""
    kept: KeptLogits | None = None
    """What is kept of each answer beside its text; nothing if omitted."""

    @model_validator(mode="after")
    def _shares_are_a_whole(self) -> Profile:
        total = sum(each.share.value for each in self.requests)
        if abs(total - 1.0) > _ONE:
            raise ValueError(f"the shares of requests sum to {total:g}; make them sum to 1")
        names = [each.name for each in self.requests]
        if len(set(names)) < len(names):
            raise ValueError("two kinds of requests have the same name; rename one")
        return self

    @property
    def longest(self) -> int:
        """Tokens that no request exceeds, prompt and answer together."""
        return max(round(each.prompt.longest.value) + round(each.output.longest.value) for each in self.requests)


def profile_path(name_or_path: str) -> Path:
    """The file of the profile of that shipped name or path. Raises UserError with the nearest name."""
    return file_of("profiles", name_or_path, OPTION)


def load_profile(name_or_path: str) -> Profile:
    """The profile of that shipped name or YAML file. Raises UserError with the nearest name or the mistake."""
    return load_yaml(profile_path(name_or_path), Profile)


def list_profiles() -> tuple[Profile, ...]:
    """Every shipped profile, by name."""
    return tuple(load_yaml(path, Profile) for path in shipped("profiles").values())
