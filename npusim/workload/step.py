"""One forward pass as the scheduler orders it: which sequences, how many new tokens each, over what context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Ints = np.ndarray


@dataclass(frozen=True)
class Step:
    """Sequences of one step, arrays of equal length.

    query: new tokens of each sequence; context: tokens that it attends over, the new ones included;
    decoding: True where the sequence generates, False where a chunk of its prompt is computed;
    slots: sequence slots that the server has compiled (used by runtimes that compute all of them).
    """

    query: Ints
    context: Ints
    decoding: Ints
    slots: int

    def __post_init__(self) -> None:
        if not len(self.query) == len(self.context) == len(self.decoding) > 0:
            raise ValueError("a step needs at least one sequence, and arrays of equal length")
        if (self.query < 1).any() or (self.context < self.query).any():
            raise ValueError("each sequence needs at least one new token, and a context that holds its new tokens")

    @property
    def tokens(self) -> int:
        return int(self.query.sum())


def decode(contexts: Sequence[int] | Ints, slots: int | None = None) -> Step:
    """One new token for each sequence; `contexts` include it and may be ragged."""
    context = np.asarray(contexts, np.int64)
    return Step(np.ones_like(context), context, np.ones(len(context), np.bool_), slots or len(context))


def prefill(batch: int, query: int, context: int | None = None) -> Step:
    """`batch` prompts (or chunks) of `query` new tokens each; `context` defaults to the new tokens alone."""
    return Step(
        np.full(batch, query, np.int64),
        np.full(batch, context or query, np.int64),
        np.zeros(batch, np.bool_),
        batch,
    )


def mixed(contexts: Sequence[int] | Ints, chunks: Sequence[tuple[int, int]], slots: int | None = None) -> Step:
    """Decoding sequences with prompt chunks `(new tokens, context)` in the same pass."""
    decoding = np.asarray(contexts, np.int64)
    query = np.array([chunk[0] for chunk in chunks], np.int64)
    context = np.array([chunk[1] for chunk in chunks], np.int64)
    return Step(
        np.concatenate([np.ones_like(decoding), query]),
        np.concatenate([decoding, context]),
        np.concatenate([np.ones(len(decoding), np.bool_), np.zeros(len(query), np.bool_)]),
        slots or len(decoding) + len(query),
    )
