"""Sessions of a described load, drawn by a seed, as the requests of a trace.

Gaps between sessions are gamma distributed: production traces have gaps more bursty than a Poisson process has, which
gamma and Weibull distributions fit (Wang et al., BurstGPT, arXiv 2401.17644; Xiang et al., ServeGen, arXiv 2505.09999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npusim.errors import UserError
from npusim.inputs.limits import MOST_BLOCKS, MOST_REQUESTS
from npusim.workload.arrivals import FIRST, earliest_s
from npusim.workload.lengths import draw_lengths
from npusim.workload.loads.day import DayClock
from npusim.workload.loads.description import Arrivals, LoadDescription, ThinkTime, TurnCounts
from npusim.workload.traces.formats.sessions import BLOCK_TOKENS, SAYS
from npusim.workload.traces.read import Trace

_GAPS, _TURNS, _THINKING = 2, 3, 4
"""Streams of random numbers beside that of lengths: what one key changes leaves what others draw as it was."""


@dataclass(frozen=True, eq=False)
class Sessions:
    """The turns of all sessions, one session after the other, in the order in which they come.

    session, turn: of each, its session's number and its own in it, from 0 on; tokens: (prompt, answer), int64 (n, 2),
    the prompt with all that went before it; wait_s: of first turns when they come, of others the think time before.
    """

    session: np.ndarray
    turn: np.ndarray
    tokens: np.ndarray
    wait_s: np.ndarray


def draw_trace(told: LoadDescription, path: Path, seed: int, most: int | None = None) -> Trace:
    """The first `most` requests (all by default) of a load; the same for the same seed. Raises UserError.

    They are in the order in which they would come if answers took no time.
    """
    drawn = draw_sessions(told, path, seed)
    before = np.where(drawn.turn > 0, np.arange(len(drawn.turn)) - 1, FIRST)
    order = np.lexsort((drawn.turn, drawn.session, earliest_s(before, drawn.wait_s)))[:most]
    place = np.empty(len(before), np.int64)
    place[order] = np.arange(len(order))
    chosen = before[order]
    before = np.where(chosen == FIRST, FIRST, place[chosen])
    blocks = _blocks(drawn, order, 0 if told.system_prompt is None else round(told.system_prompt.value), path)
    return Trace(path, SAYS, drawn.tokens[order], drawn.wait_s[order], blocks, BLOCK_TOKENS, {}, before)


def draw_sessions(told: LoadDescription, path: Path, seed: int) -> Sessions:
    """All sessions of a load. Raises UserError for more turns than a run holds, or a session without any."""
    counts = _turn_counts(told.turns, told.sessions, _generator(seed, _TURNS))
    total = int(counts.sum())
    if total > MOST_REQUESTS:
        message = f"gives {total:,} turns, which is more than a run holds (at most {MOST_REQUESTS:,}); give fewer"
        raise UserError(str(path), "sessions", message)
    session = np.repeat(np.arange(told.sessions), counts)
    begin = np.cumsum(counts) - counts
    turn = np.arange(total) - np.repeat(begin, counts)
    own = draw_lengths(told.prompt.lengths, told.answer.lengths, total, seed)
    tokens = _with_history(own, begin, counts, 0 if told.system_prompt is None else round(told.system_prompt.value))
    wait_s = np.zeros(total) if told.think_time is None else _think_s(told.think_time, total, seed)
    wait_s[begin] = session_times_s(told.arrivals, told.sessions, seed)
    kept = _kept(tokens, turn, told.longest_context, path)
    return Sessions(session[kept], turn[kept], tokens[kept], wait_s[kept])


def session_times_s(arrivals: Arrivals, count: int, seed: int) -> np.ndarray:
    """When sessions come, in seconds, float64 (count,), rising; the first one at 0."""
    rate, cv = arrivals.sessions_per_s.value, arrivals.gap_cv.value
    gaps_s = np.full(count, 1.0 / rate)
    if cv > 0.0:
        gaps_s = _generator(seed, _GAPS).gamma(cv**-2, cv**2 / rate, count)
    times_s = np.append(0.0, np.cumsum(gaps_s[1:]))
    return times_s if arrivals.day is None else DayClock(arrivals.day).clock_s(times_s)


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _turn_counts(told: TurnCounts, sessions: int, generator: np.random.Generator) -> np.ndarray:
    if told.counts is not None:
        return generator.choice(np.array(told.counts, np.int64), sessions)
    assert told.mean is not None
    return generator.geometric(1.0 / told.mean.value, sessions).astype(np.int64)


def _think_s(told: ThinkTime, count: int, seed: int) -> np.ndarray:
    generator, mean = _generator(seed, _THINKING), told.mean.value
    if told.distribution == "exponential":
        return generator.exponential(mean, count)
    if told.cv is None or mean == 0.0:
        return np.full(count, mean)
    variance = math.log1p(told.cv.value**2)
    return generator.lognormal(math.log(mean) - variance / 2.0, math.sqrt(variance), count)


def _with_history(own: np.ndarray, begin: np.ndarray, counts: np.ndarray, system: int) -> np.ndarray:
    """Tokens of the prompt, with all earlier ones and their answers in front of it, and of the answer, of each turn."""
    said = np.cumsum(own.sum(axis=1))
    before = np.append(0, said[:-1])
    history = before - np.repeat(before[begin], counts)
    return np.stack([system + history + own[:, 0], own[:, 1]], axis=1)


def _kept(tokens: np.ndarray, turn: np.ndarray, longest: int | None, path: Path) -> np.ndarray:
    """Which turns are within the longest context; within a session they only grow, so that these are its first ones."""
    whole = tokens.sum(axis=1)
    kept = np.full(len(whole), True) if longest is None else whole <= longest
    if not kept[turn == 0].all():
        first = int(whole[turn == 0].max())
        message = f"{longest:,} tokens have no room for a first turn of {first:,}; give more, or shorter prompts"
        raise UserError(str(path), "longest_context", message)
    return kept


def _blocks(drawn: Sessions, order: np.ndarray, system: int, path: Path) -> np.ndarray:
    """Numbers of the blocks of all prompts, one prompt after the other in that order.

    Blocks within the system prompt are those of all sessions, whole blocks those of the session, and what is left of a
    prompt behind its last whole block is its own, as in traces whose blocks are hashed with all that is before them.
    """
    tokens, session = drawn.tokens[order, 0], drawn.session[order]
    count = -(-tokens // BLOCK_TOKENS)
    if (total := int(count.sum())) > MOST_BLOCKS:
        message = f"has prompts of {total:,} blocks of {BLOCK_TOKENS} tokens (at most {MOST_BLOCKS:,}); give fewer"
        raise UserError(str(path), "sessions", message)
    common = system // BLOCK_TOKENS
    most = np.zeros(int(drawn.session.max()) + 1, np.int64)
    np.maximum.at(most, drawn.session, drawn.tokens[:, 0] // BLOCK_TOKENS - common)
    first = common + np.cumsum(most) - most
    which = np.repeat(np.arange(len(tokens)), count)
    depth = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    own = common + int(most.sum()) + order[which]
    whole = np.where(depth < common, depth, first[session[which]] + depth - common)
    return np.where((depth + 1) * BLOCK_TOKENS <= tokens[which], whole, own)
