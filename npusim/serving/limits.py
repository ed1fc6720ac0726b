"""What bounds a server: its runtime, its model, its memory and its power limiter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from npusim.serving.intake import NO_INTAKE, Intake


@dataclass(frozen=True)
class ServerLimits:
    """What bounds a server.

    slots: compiled sequence slots; max_sequences: most in service; max_waiting: longest queue, None without limit;
    watermark: part of the KV blocks beyond which nothing is admitted; longest_context: of model and compiled shapes;
    largest_chunk: most prompt tokens of one step, None without limit; chunk_sizes: compiled ones, rising, none where
    every size runs as it is; request_time_s: from sending to the queue;
    limiter_s, sustained_s: time constants of the power limiter and of the mean power that it keeps; cap_w, idle_w:
    enforced cap and idle power of all chips; whole_answers: whether a request is admitted only when the answers of all
    have room; intake: for how long the front end is busy with requests, one after the other; ahead: whether a step
    is scheduled when the one before it begins; holds: whether the thread that schedules also launches, so that it
    neither schedules nor hands out first tokens meanwhile; drawing_s: in which clients inside the front end's process
    make up each prompt before its clock starts, NaN where clients are elsewhere and send when they like;
    width: tokens of a sequence that a decode step computes, those that are drafted among them.
    """

    slots: int
    max_sequences: int
    max_waiting: int | None
    watermark: float
    longest_context: int
    largest_chunk: int | None
    request_time_s: float = 0.0
    limiter_s: float = 0.0
    sustained_s: float = math.nan
    cap_w: float = math.inf
    idle_w: float = 0.0
    whole_answers: bool = False
    intake: Intake = NO_INTAKE
    ahead: bool = False
    holds: bool = False
    drawing_s: float = math.nan
    width: int = 1
    chunk_sizes: tuple[int, ...] = ()

    def compiled_chunk(self, tokens: int) -> int:
        """Tokens that are computed for a chunk of `tokens`, padding included."""
        return next((size for size in self.chunk_sizes if size >= tokens), tokens)
