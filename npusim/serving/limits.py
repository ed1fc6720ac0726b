"""What bounds a server: its runtime, its model, its memory and its power limiter."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """What bounds a server.

    slots: compiled sequence slots; max_sequences: most in service; max_waiting: longest queue, None without limit;
    watermark: part of the KV blocks beyond which nothing is admitted; longest_context: of model and compiled shapes;
    largest_chunk: most prompt tokens of one step, None without limit; request_time_s: from sending to the queue;
    limiter_s, sustained_s: time constants of the power limiter and of the mean power that it keeps; cap_w, idle_w:
    enforced cap and idle power of all chips; whole_answers: whether a request is admitted only when the answers of all
    have room; intake_s: for which the front end is busy with each request, one after the other; ahead: whether a step
    is scheduled when the one before it begins.
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
    intake_s: float = 0.0
    ahead: bool = False
