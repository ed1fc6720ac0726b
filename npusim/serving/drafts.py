"""Tokens that come out of steps which verify drafts: drawn, the same under the same seed wherever they are asked for.

Each place of an answer has one number of its own; a token drafted for it is accepted where that lies below the chance
of its position in the step. So a run does not depend on how steps fall, and another chance changes no other draw.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from npusim.engine.analytic import DecodeRun
from npusim.serving.scheduler.acceptance import draw_tokens

_ACCEPTANCE = 0x5DEECE66D
"""Parts these draws from those of stalls under the same seed."""


class DraftedSteps(Protocol):
    """What costs steps that put out tokens[i] (steps, sequences) each."""

    def drafted_run(
        self, held: np.ndarray, slots: int, tokens: np.ndarray, horizon_s: float, seed: int, counter: int
    ) -> DecodeRun: ...


class Drafts:
    """profile: chance of each drafted token, given those before it, float64 (drafted,); engine: what costs the steps.

    width: tokens of a sequence that a step computes, the most that come of it.
    """

    def __init__(self, profile: np.ndarray, seed: int, engine: DraftedSteps) -> None:
        self.width = 1 + len(profile)
        self.engine = engine
        self._profile, self._seed = profile, seed ^ _ACCEPTANCE

    def tokens(self, requests: np.ndarray, generated: np.ndarray, remaining: np.ndarray, steps: int) -> np.ndarray:
        """Tokens of each of the next `steps` steps: int64 (steps, sequences), none beyond those that remain.

        requests, generated, remaining: of each sequence its number, and tokens that are out and that are still to come.
        """
        out = np.zeros((steps, len(requests)), np.int64)
        draw_tokens(self._profile, self._seed, requests, generated, remaining, out)
        return out
