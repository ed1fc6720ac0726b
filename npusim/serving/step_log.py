"""What a server did, step by step: kept where it is asked where the time of its requests went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npusim.compilation import record_type
from npusim.engine.analytic import DecodeRun
from npusim.engine.stepcost import StepCost

STEP_DTYPE = record_type(
    [
        ("begin_s", np.float64),
        ("end_s", np.float64),
        ("host_s", np.float64),
        ("prompt_tokens", np.int64),
        ("decode_tokens", np.int64),
        ("no_room", np.bool_),
    ]
)
"""A step of the chip. host_s: at its end, in which the chip waits for the host; prompt_tokens, decode_tokens: computed
of prompts, and for sequences that decode; no_room: whether the first request in the queue had no slot or no memory."""
OWN_TOKENS_DTYPE = record_type([("step", np.int64), ("request", np.int64), ("tokens", np.int64)])
"""Tokens of the prompt of `request` that a step computes."""


class StepLog:
    """Steps in the order in which they began, and the chunks of prompts in them."""

    def __init__(self) -> None:
        self._steps: list[np.ndarray] = []
        self._chunks: list[tuple[int, int, int]] = []
        self._count = 0

    @property
    def steps(self) -> np.ndarray:
        """STEP_DTYPE (steps,)."""
        return np.concatenate(self._steps) if self._steps else np.zeros(0, STEP_DTYPE)

    @property
    def chunks(self) -> np.ndarray:
        """OWN_TOKENS_DTYPE (chunks,), by step."""
        return np.array(self._chunks, OWN_TOKENS_DTYPE)

    def prompt(
        self, begin_s: float, request: int, sizes: Sequence[int], costs: Sequence[StepCost], no_room: bool
    ) -> None:
        """Chunks of one prompt, of `sizes` tokens, follow each other alone."""
        # One after the other, as the server adds them up.
        ends_s = np.cumsum([begin_s, *(cost.time_s for cost in costs)])[1:]
        rows = self._rows(begin_s, ends_s, np.array([cost.host_s for cost in costs]), no_room)
        rows["prompt_tokens"] = sizes
        self._chunks += [(self._count + place, request, tokens) for place, tokens in enumerate(sizes)]
        self._keep(rows)

    def run(
        self, begin_s: float, run: DecodeRun, decoding: int, chunks: Sequence[tuple[int, int]], no_room: bool
    ) -> None:
        """Steps that compute `decoding` tokens each for sequences that decode; a mixed one also chunks: (request,
        tokens).
        """
        ends_s = begin_s + np.cumsum(run.times_s)
        ends_s[-1] = begin_s + float(run.times_s.sum())
        rows = self._rows(begin_s, ends_s, run.host_s, no_room)
        rows["prompt_tokens"], rows["decode_tokens"] = sum(tokens for _, tokens in chunks), decoding
        self._chunks += [(self._count, request, tokens) for request, tokens in chunks]
        self._keep(rows)

    def _rows(self, begin_s: float, ends_s: np.ndarray, host_s: np.ndarray, no_room: bool) -> np.ndarray:
        rows = np.zeros(len(ends_s), STEP_DTYPE)
        rows["begin_s"][0], rows["begin_s"][1:] = begin_s, ends_s[:-1]
        rows["end_s"], rows["host_s"], rows["no_room"] = ends_s, host_s, no_room
        return rows

    def _keep(self, rows: np.ndarray) -> None:
        self._steps.append(rows)
        self._count += len(rows)
