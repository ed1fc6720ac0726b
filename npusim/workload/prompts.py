"""What prompts have in common, which is all that a prefix cache needs to know.

A prompt is a row of segments; equal segments at the front of two prompts are the same tokens.
"""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from npusim.errors import UserError
from npusim.inputs.limits import MOST_REQUESTS


class Segment(NamedTuple):
    """A run of tokens; two segments hold the same text exactly when they are equal."""

    segment_id: int
    tokens: int


Prompt = tuple[Segment, ...]


def shared_tokens(first: Prompt, second: Prompt) -> int:
    """Tokens of the leading segments that both prompts have; a differing segment shares nothing."""
    common = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(segment.tokens for segment, _ in common)


def random_prompts(n: int, isl: int) -> list[Prompt]:
    """`n` prompts of `isl` tokens of which no two share anything. Raises UserError for more than a run holds."""
    _check(n)
    return [(Segment(index, isl),) for index in range(n)]


def identical_prompts(n: int, isl: int) -> list[Prompt]:
    """`n` times the same prompt of `isl` tokens. Raises UserError for more than a run holds."""
    _check(n)
    return [(Segment(0, isl),)] * n


def shared_prefix_prompts(n: int, isl: int, shared: int) -> list[Prompt]:
    """`n` prompts of `isl` tokens that share their first `shared` tokens and nothing more.

    Raises UserError unless 0 <= shared <= isl.
    """
    if not 0 <= shared <= isl:
        raise UserError("--shared-prefix", "", f"{shared} shared tokens of {isl}; give 0 to {isl}")
    _check(n)
    if shared == 0:
        return random_prompts(n, isl)
    if shared == isl:
        return identical_prompts(n, isl)
    return [(Segment(0, shared), Segment(index, isl - shared)) for index in range(1, n + 1)]


def _check(n: int) -> None:
    if n > MOST_REQUESTS:
        raise UserError("--requests", "", f"{n:,} are more than a run holds (at most {MOST_REQUESTS:,})")
