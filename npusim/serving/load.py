"""A load: which requests come, how long they are, what their prompts share, and when they are sent.

Every command that serves requests makes its load here (`make_load`), so that a load means the same to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from npusim.errors import UserError
from npusim.inputs.limits import MOST_REQUESTS
from npusim.serving.request import Request
from npusim.serving.scheduler.tree import PromptTree, tree_of, tree_of_blocks, tree_of_own
from npusim.workload.arrivals import FIRST, Arrival, Closed, Timed, Turns
from npusim.workload.lengths import Lengths, draw_lengths
from npusim.workload.prompts import (
    BlockPrompts,
    OwnPrompts,
    Prompt,
    prompts_of_one_text,
    prompts_that_share,
    shared_tokens,
)
from npusim.workload.traces.read import Trace


@dataclass(frozen=True, eq=False)
class Load:
    """isl, osl: stated tokens of a request; prompts: one per request (what they share decides cache hits).

    lengths: (isl, osl) of each request, in place of the common ones; warm: True where the first prompt was served
    before the run, so that a prefix cache holds it; warm_up: requests at the beginning whose latencies do not count;
    drawing_s: in which clients inside the front end's process make up each prompt, one after the other, before its
    clock starts, None where clients are elsewhere.
    """

    isl: int
    osl: int
    arrival: Arrival
    prompts: Sequence[Prompt]
    lengths: Sequence[tuple[int, int]] | np.ndarray | None = None
    warm: bool = False
    warm_up: int = 0
    drawing_s: float | None = None

    def __post_init__(self) -> None:
        for option, value in (("--isl", self.isl), ("--osl", self.osl), ("--requests", len(self.prompts))):
            if value < 1:
                raise UserError(option, "", f"{value} must be 1 or more")
        if self.lengths is not None and len(self.lengths) != len(self.prompts):
            raise ValueError(f"{len(self.prompts)} prompts have {len(self.lengths)} lengths; give one for each")

    def of_replica(self, replicas: int) -> Load:
        """What the first of `replicas` gets of it when requests are dealt out in turn."""
        if replicas == 1:
            return self
        arrival, warm_up = self.arrival.of_replica(replicas), -(-self.warm_up // replicas)
        if isinstance(self.arrival, Turns):
            own, prompts = self.arrival.dealt(replicas), self.prompts
            prompts = prompts.only(own) if isinstance(prompts, BlockPrompts) else [prompts[place] for place in own]
            return replace(self, arrival=arrival, prompts=prompts, lengths=self.tokens[own], warm_up=warm_up)
        return replace(
            self,
            arrival=arrival,
            prompts=self.prompts[::replicas],
            lengths=None if self.lengths is None else self.lengths[::replicas],
            warm_up=warm_up,
        )

    def only(self, places: np.ndarray) -> Load:
        """Some of the requests of a trace, whose places rise; of one of sessions, these whole."""
        assert isinstance(self.arrival, Timed | Turns) and isinstance(self.prompts, OwnPrompts | BlockPrompts)
        prompts, tokens = self.prompts.only(places), self.tokens[places]
        isl, osl = (max(1, round(float(mean))) for mean in tokens.mean(axis=0))
        warm_up = int((places < self.warm_up).sum())
        return Load(isl, osl, self.arrival.only(places), prompts, tokens, self.warm, warm_up)

    @cached_property
    def tree(self) -> PromptTree:
        """What prompts have in common; the same for all runs of this load."""
        if isinstance(self.prompts, OwnPrompts):
            return tree_of_own(self.tokens[:, 0])
        return tree_of_blocks(self.prompts) if isinstance(self.prompts, BlockPrompts) else tree_of(self.prompts)

    @cached_property
    def tokens(self) -> np.ndarray:
        """(isl, osl) of each request, int64 (requests, 2)."""
        if self.lengths is None:
            return np.tile(np.array([[self.isl, self.osl]], np.int64), (len(self.prompts), 1))
        return np.asarray(self.lengths, np.int64).reshape(-1, 2)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest request."""
        return int(self.tokens.sum(axis=1).max())

    @cached_property
    def common(self) -> int:
        """Tokens with which all prompts begin, 0 for a single one."""
        first, *others = self.prompts if not isinstance(self.prompts, OwnPrompts) else [()]
        return min((shared_tokens(first, other) for other in set(others)), default=0)

    def requests(self) -> list[Request]:
        """The requests in the order in which they are sent."""
        lengths = self.tokens.tolist()
        found = [Request(index, prompt, *lengths[index]) for index, prompt in enumerate(self.prompts)]
        for index, after in enumerate(self.after.tolist()):
            if after != FIRST:
                found[index].goes_on = found[after].prompt
        return found

    @cached_property
    def after(self) -> np.ndarray:
        """Of each request the one whose prompt goes on from its own one and its answer, int64; FIRST for none."""
        if isinstance(self.arrival, Turns):
            return self.arrival.after
        return np.full(len(self.prompts), FIRST, np.int64)


def make_load(
    isl: Lengths | int,
    osl: Lengths | int,
    arrival: Arrival,
    requests: int,
    seed: int,
    *,
    shared: int = 0,
    alike: bool = False,
    warm: bool = False,
    warm_up: int = 0,
) -> Load:
    """`requests` requests of these lengths, which `seed` draws where they are spread.

    shared: first tokens that all prompts share; alike: all are the beginning of one text; warm, warm_up: as `Load`
    says. Raises UserError.
    """
    if requests > MOST_REQUESTS:
        raise UserError("--requests", "", f"{requests:,} are more than a run holds (at most {MOST_REQUESTS:,})")
    isl, osl = (Lengths(each) if isinstance(each, int) else each for each in (isl, osl))
    tokens = draw_lengths(isl, osl, max(requests, 0), seed)
    if isinstance(arrival, Closed) and arrival.staggered:
        tokens = _staggered(tokens, arrival.users)
    prompts = prompts_of_one_text(tokens[:, 0]) if alike else prompts_that_share(tokens[:, 0], shared)
    plain = len(tokens) and (tokens == (isl.stated, osl.stated)).all()
    return Load(isl.stated, osl.stated, arrival, prompts, None if plain else tokens, warm, warm_up)


def _staggered(tokens: np.ndarray, users: int) -> np.ndarray:
    """The first answer of each user is cut at another length, so that the users end one after the other."""
    first = min(users, len(tokens))
    parts = np.arange(1, first + 1) / users
    cut = tokens.copy()
    cut[:first, 1] = np.maximum(1, np.ceil(tokens[:first, 1] * parts))
    return cut


def trace_load(trace: Trace, speed: float = 1.0, arrival: Arrival | None = None, warm_up: int = 0) -> Load:
    """The requests of a trace at its own times, `speed` times as fast, or as `arrival` says. Raises UserError.

    The stated lengths are the means.
    """
    if warm_up >= len(trace):
        raise UserError("--warm-up", "", f"{warm_up:,} of {len(trace):,} requests leave none to measure; give fewer")
    arrival = _arrival_of(trace, speed) if arrival is None else arrival
    tokens = trace.tokens
    if isinstance(arrival, Closed) and arrival.staggered:
        tokens = _staggered(tokens, arrival.users)
    own = tokens[:, 0]
    prompts: Sequence[Prompt] = OwnPrompts(own)
    if trace.block_tokens:
        count = -(-own // trace.block_tokens)
        prompts = BlockPrompts(own, trace.blocks, np.cumsum(count) - count, trace.block_tokens)
    isl, osl = (max(1, round(float(mean))) for mean in trace.tokens.mean(axis=0))
    return Load(isl, osl, arrival, prompts, tokens, warm_up=warm_up)


def _arrival_of(trace: Trace, speed: float) -> Arrival:
    """When the requests of a trace come by themselves. Raises UserError."""
    if trace.times_s is None:
        message = "tells no times at which its requests come; npusim run takes --arrival in their place"
        raise UserError(str(trace.path), "", message)
    times_s = tuple((trace.times_s / speed).tolist())
    return Timed(times_s) if trace.before is None else Turns(tuple(trace.before.tolist()), times_s)


def random_load(isl: int, osl: int, arrival: Arrival, requests: int) -> Load:
    """`requests` requests whose prompts share nothing."""
    return make_load(isl, osl, arrival, requests, 0)
