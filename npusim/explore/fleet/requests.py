"""Requests of a profile at a rate: sessions that come at random, their prompts, and what these repeat of each other.

Sessions begin independently of each other (Poisson), their requests follow at exponential gaps. Those that begin before
the window go on in it, so that it is stationary from its beginning; what they asked before it is unknown to the caches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from npusim.serving.load import Load
from npusim.workload.arrivals import Burst, Timed
from npusim.workload.profile import Profile
from npusim.workload.prompts import OwnPrompts, Prompt, Segment

_STREAM = 5
"""Requests of a profile are drawn apart from all else that a seed draws."""


@dataclass(frozen=True)
class Session:
    """Which session each request belongs to, and its number in it from 0 on, int64 (requests,) each."""

    of: np.ndarray
    turn: np.ndarray


def request_lengths(profile: Profile, count: int, generator: np.random.Generator) -> np.ndarray:
    """Prompt and output tokens of `count` requests of all kinds, int64 (count, 2)."""
    shares = np.array([each.share.value for each in profile.requests])
    kinds = generator.choice(len(shares), count, p=shares / shares.sum())
    tokens = np.empty((count, 2), np.int64)
    for place, kind in enumerate(profile.requests):
        which = np.flatnonzero(kinds == place)
        tokens[which, 0] = kind.prompt.draw(len(which), generator)
        tokens[which, 1] = kind.output.draw(len(which), generator)
    return tokens


def mean_lengths(profile: Profile) -> tuple[int, int]:
    """Mean tokens of a prompt and of an answer over all kinds of requests."""
    prompt, output = length_means(profile)
    return max(1, round(prompt)), max(1, round(output))


def length_means(profile: Profile) -> tuple[float, float]:
    """The same means, not rounded."""
    shares = np.array([each.share.value for each in profile.requests])
    means = np.array([(each.prompt.mean, each.output.mean) for each in profile.requests])
    prompt, output = (shares / shares.sum() @ means).tolist()
    return prompt, output


def timed_load(
    profile: Profile, rate_per_s: float, window_s: float, seed: int, warm_up_s: float = 0.0, seen: float = 1.0
) -> Load:
    """The requests that come in a window at `rate_per_s` requests/s in the mean.

    seen: of all requests of a session, the part that comes here, each by chance; the others are served elsewhere, and
    as many more sessions come by. Latencies of the first `warm_up_s` do not count. At another rate the same random
    numbers give the same sessions, nearer to each other.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    times_s, sessions = _arrivals(profile, rate_per_s / seen, window_s, generator)
    tokens = request_lengths(profile, len(times_s), generator)
    prompts = session_prompts(tokens[:, 0], sessions, profile.reuse.value)
    isl, osl = (max(1, round(float(mean))) for mean in tokens.mean(axis=0))
    warm_up = min(int(np.searchsorted(times_s, warm_up_s)), len(times_s) - 1)
    load = Load(isl, osl, Timed(tuple(times_s.tolist())), prompts, tokens, warm_up=warm_up)
    return load if seen == 1.0 else some_of(load, np.flatnonzero(generator.random(len(times_s)) < seen))


def some_of(load: Load, here: np.ndarray) -> Load:
    """Some requests of a load of times, int64 places; the first one where there are none."""
    assert isinstance(load.arrival, Timed)
    here = here if len(here) else np.zeros(1, np.int64)
    times_s, tokens, prompts = np.array(load.arrival.sent_s)[here], load.tokens[here], load.prompts
    isl, osl = (max(1, round(float(mean))) for mean in tokens.mean(axis=0))
    own = OwnPrompts(tokens[:, 0]) if isinstance(prompts, OwnPrompts) else [prompts[at] for at in here.tolist()]
    warm_up = min(int(np.searchsorted(here, load.warm_up)), len(here) - 1)
    return Load(isl, osl, Timed(tuple(times_s.tolist())), own, tokens, warm_up=warm_up)


def burst_load(profile: Profile, count: int, users: int, seed: int) -> Load:
    """`count` requests that share nothing, of which `users` are in flight as long as there are more."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    tokens = request_lengths(profile, count, generator)
    isl, osl = (max(1, round(float(mean))) for mean in tokens.mean(axis=0))
    return Load(isl, osl, Burst(users), OwnPrompts(tokens[:, 0]), tokens)


def _arrivals(
    profile: Profile, rate_per_s: float, window_s: float, generator: np.random.Generator
) -> tuple[np.ndarray, Session]:
    """When requests come, rising, float64 (requests,), and their sessions; one request at least."""
    traffic = profile.traffic
    mean_turns, gap_s = (1.0, 0.0) if traffic is None else (traffic.turns.value, traffic.turn_gap.value)
    before_s = gap_s * _long(mean_turns)
    count = max(1, math.ceil(rate_per_s / mean_turns * (window_s + before_s)))
    begin_s = np.cumsum(generator.exponential(1.0, count)) * (mean_turns / rate_per_s) - before_s
    turns = generator.geometric(1.0 / mean_turns, count)
    of = np.repeat(np.arange(count), turns)
    turn = np.arange(len(of)) - np.repeat(np.cumsum(turns) - turns, turns)
    gaps_s = np.where(turn > 0, generator.exponential(gap_s, len(of)), 0.0)
    through_s = np.cumsum(gaps_s)
    times_s = begin_s[of] + through_s - through_s[np.cumsum(turns) - turns][of]
    inside = np.flatnonzero((times_s >= 0.0) & (times_s < window_s))
    if not len(inside):
        return np.zeros(1), Session(np.zeros(1, np.int64), np.zeros(1, np.int64))
    order = inside[np.argsort(times_s[inside], kind="stable")]
    return times_s[order], Session(of[order], turn[order])


def _long(mean_turns: float) -> float:
    """Turns that one session in a hundred exceeds; of a geometric number of that mean."""
    return 0.0 if mean_turns <= 1.0 else math.log(0.01) / math.log1p(-1.0 / mean_turns)


def session_prompts(tokens: np.ndarray, sessions: Session, reuse: float) -> list[Prompt] | OwnPrompts:
    """Prompts of these lengths (int64): of each, the part `reuse` begins its session's prompt before it."""
    if reuse == 0.0:
        return OwnPrompts(tokens)
    of, lengths = sessions.of.tolist(), tokens.tolist()
    repeated, latest = [0] * len(of), dict[int, int]()
    for index, session in enumerate(of):
        if session in latest:
            repeated[index] = min(int(reuse * lengths[index]), lengths[latest[session]])
        latest[session] = index
    return _cut(of, lengths, repeated)


def _cut(of: list[int], lengths: list[int], repeated: list[int]) -> list[Prompt]:
    """Prompts as segments; texts that two prompts have in common are cut where the shorter one leaves them.

    repeated: leading tokens that are those of the session's prompt before.
    """
    texts: list[list[tuple[int, int, int]]] = []
    cuts: dict[int, set[int]] = {}
    latest: dict[int, int] = {}
    for index, session in enumerate(of):
        kept, left = [], repeated[index]
        for text, first, end in texts[latest[session]] if left else ():
            taken = min(left, end - first)
            kept.append((text, first, first + taken))
            cuts[text].add(first + taken)
            left -= taken
            if not left:
                break
        own = lengths[index] - repeated[index]
        cuts[index] = {0, own}
        texts.append([*kept, (index, 0, own)] if own else kept)
        latest[session] = index
    ends = {text: sorted(places) for text, places in cuts.items()}
    return [tuple(_segments(parts, ends)) for parts in texts]


def _segments(parts: list[tuple[int, int, int]], ends: dict[int, list[int]]) -> list[Segment]:
    """A part of a text as the segments between its cuts; each has a number of its own."""
    found = []
    for text, first, end in parts:
        inside = [place for place in ends[text] if first <= place <= end]
        found += [Segment(_number(text, ends[text].index(low)), high - low) for low, high in pairwise(inside)]
    return found


def _number(text: int, place: int) -> int:
    """One number for a text and a place in it (Cantor's pairing)."""
    return (text + place) * (text + place + 1) // 2 + place
