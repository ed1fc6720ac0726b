"""What prompts have in common, which is all that a prefix cache needs to know.

A prompt is a row of segments; equal segments at the front of two prompts are the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple, overload

import numpy as np

from npusim.errors import UserError
from npusim.inputs.limits import MOST_REQUESTS


class Segment(NamedTuple):
    """A run of tokens; two segments hold the same text exactly when they are equal."""

    segment_id: int
    tokens: int


Prompt = tuple[Segment, ...]


class OwnPrompts(Sequence[Prompt]):
    """Prompts that share nothing, each a segment of its own that is made when it is asked for.

    tokens: of each, int64; first, step: number of the first one's segment, and what the next one's is more.
    """

    def __init__(self, tokens: np.ndarray, first: int = 0, step: int = 1) -> None:
        self.tokens, self._first, self._step = tokens, first, step

    def __len__(self) -> int:
        return len(self.tokens)

    def only(self, places: np.ndarray) -> OwnPrompts:
        """As many prompts of these lengths: none shares anything."""
        return OwnPrompts(self.tokens[places])

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> OwnPrompts: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            first, _, step = index.indices(len(self))
            return OwnPrompts(self.tokens[index], self._first + first * self._step, self._step * step)
        place = range(len(self))[index]
        return (Segment(self._first + place * self._step, int(self.tokens[place])),)


class BlockPrompts(Sequence[Prompt]):
    """Prompts of numbered blocks, made when they are asked for; those with equal numbers at the front begin alike.

    tokens: of each, int64; blocks: numbers of all one after the other, int64; first: place of each one's first block;
    size: tokens of a block, of which the last one of a prompt may have fewer.
    """

    def __init__(self, tokens: np.ndarray, blocks: np.ndarray, first: np.ndarray, size: int) -> None:
        self.tokens, self.blocks, self.first, self.size = tokens, blocks, first, size

    def __len__(self) -> int:
        return len(self.tokens)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> BlockPrompts: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return BlockPrompts(self.tokens[index], self.blocks, self.first[index], self.size)
        left, at = int(self.tokens[index]), int(self.first[index])
        count = -(-left // self.size)
        own = self.blocks[at : at + count].tolist()
        return tuple(Segment(number, min(self.size, left - place * self.size)) for place, number in enumerate(own))

    def only(self, places: Sequence[int] | np.ndarray) -> BlockPrompts:
        """Some of the prompts, in that order, with their own blocks alone."""
        tokens = self.tokens[places]
        count = -(-tokens // self.size)
        first = np.cumsum(count) - count
        own = np.arange(count.sum()) + np.repeat(self.first[places] - first, count)
        return BlockPrompts(tokens, self.blocks[own], first, self.size)


def shared_tokens(first: Prompt, second: Prompt) -> int:
    """Tokens of the leading segments that both prompts have; a differing segment shares nothing."""
    common = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(segment.tokens for segment, _ in common)


def random_prompts(n: int, isl: int) -> OwnPrompts:
    """`n` prompts of `isl` tokens of which no two share anything. Raises UserError for more than a run holds."""
    _check(n)
    return OwnPrompts(np.full(n, isl, np.int64))


def identical_prompts(n: int, isl: int) -> list[Prompt]:
    """`n` times the same prompt of `isl` tokens. Raises UserError for more than a run holds."""
    _check(n)
    return [(Segment(0, isl),)] * n


def shared_prefix_prompts(n: int, isl: int, shared: int) -> Sequence[Prompt]:
    """`n` prompts of `isl` tokens that share their first `shared` tokens and nothing more.

    Raises UserError unless 0 <= shared <= isl.
    """
    _check(n)
    return prompts_that_share(np.full(n, isl, np.int64), shared)


def prompts_that_share(tokens: np.ndarray, shared: int) -> Sequence[Prompt]:
    """A prompt of each of these lengths; they share their first `shared` tokens and nothing more.

    tokens: int64. Raises UserError unless 0 <= shared <= the shortest.
    """
    shortest = int(tokens.min()) if len(tokens) else shared
    if not 0 <= shared <= shortest:
        of = "" if len(set(tokens.tolist())) <= 1 else " of the shortest prompt"
        raise UserError("--shared-prefix", "", f"{shared} shared tokens of {shortest}{of}; give 0 to {shortest}")
    if shared == 0:
        return OwnPrompts(tokens)
    front = Segment(0, shared)
    own = enumerate(tokens.tolist(), start=1)
    return [(front, Segment(index, isl - shared)) if isl > shared else (front,) for index, isl in own]


def prompts_of_one_text(tokens: np.ndarray) -> list[Prompt]:
    """A prompt of each of these lengths (int64), all from the beginning of one text."""
    ends, which = np.unique(tokens, return_inverse=True)
    text = tuple(Segment(0, part) for part in np.diff(ends, prepend=0).tolist())
    return [text[: place + 1] for place in which.tolist()]


def _check(n: int) -> None:
    if n > MOST_REQUESTS:
        raise UserError("--requests", "", f"{n:,} are more than a run holds (at most {MOST_REQUESTS:,})")
