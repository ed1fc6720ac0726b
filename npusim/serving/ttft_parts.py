"""Where the time of each request up to its first token went, read from what the server did step by step.

Until it is in the queue a request's time is the host's. From then on every moment belongs to one part: while it waits
because the first of the queue has no slot or no KV memory, to the queue; else to what the server does then. A step is
the chip's and, at its end, the host's, for which the chip waits; the chip's share of it is divided by the tokens that
it computes. It is an account of what was done, not of what would be saved without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npusim.compilation import entry
from npusim.serving.served import column_of
from npusim.serving.simulate import ServedRun
from npusim.serving.step_log import StepLog

PARTS = {
    "host": "host: intake, and around the steps that it waits for",
    "queue": "queue: no slot or no KV memory for the first in it",
    "own_prefill": "own prompt",
    "other_prefills": "prompts of other users",
    "other_decodes": "tokens of other users",
    "leaving": "first token held until the next step is launched",
}
"""Each part, in words, in the order of the columns of `TtftParts.seconds`."""
_PERCENT = 100.0
"""Percent of all requests."""
_HOST, _QUEUE, _OWN, _OTHERS, _DECODES, _LEAVING = range(len(PARTS))


@dataclass(frozen=True)
class TtftParts:
    """requests: numbers of those whose latencies count, in the order in which they were sent, int64 (requests,).

    ttft_s: float64 (requests,); seconds: of each part, float64 (requests, PARTS), which sum to it.
    """

    requests: np.ndarray
    ttft_s: np.ndarray
    seconds: np.ndarray

    def at(self, percent: float) -> int:
        """The place of the request with the smallest TTFT that at least so many percent do not exceed."""
        order = np.argsort(self.ttft_s, kind="stable")
        return int(order[max(0, int(np.ceil(percent / _PERCENT * len(order))) - 1)])


def ttft_parts(run: ServedRun, log: StepLog) -> TtftParts:
    """The parts of every request that was served and counts. log: the one that the run was given."""
    order = np.argsort(column_of(run.record.requests, "index"), kind="stable")
    index, sent_s, queued_s, admitted_s, first_s = (
        column_of(run.record.requests, name)[order]
        for name in ("index", "sent_s", "queued_s", "admitted_s", "first_token_s")
    )
    told = index >= run.warm_up
    index, times_s = index[told], np.stack([sent_s, queued_s, admitted_s, first_s], axis=1)[told]
    steps = log.steps
    chunks = log.chunks
    chunks = chunks[np.argsort(chunks["request"], kind="stable")]
    bounds = np.searchsorted(chunks["request"], [index, index + 1]).T.copy()
    seconds = np.zeros((len(index), len(PARTS)))
    attribute(steps, chunks, bounds, np.searchsorted(steps["end_s"], times_s[:, 1], side="right"), times_s, seconds)
    return TtftParts(index, times_s[:, 3] - times_s[:, 0], seconds)


@entry
def attribute(
    steps: np.ndarray,
    chunks: np.ndarray,
    bounds: np.ndarray,
    begins: np.ndarray,
    times_s: np.ndarray,
    seconds: np.ndarray,
) -> None:
    """Fill `seconds` (requests, PARTS). chunks: by request, of which request i has those from bounds[i, 0] on up to
    bounds[i, 1], and steps[begins[i]] is the first that ends after it came; times_s: when it was sent, queued and
    admitted, and its first token left, float64 (requests, 4).
    """
    for request in range(len(times_s)):
        parts = seconds[request]
        sent_s, queued_s, admitted_s, first_s = times_s[request]
        parts[_HOST] += queued_s - sent_s
        chunk, last = bounds[request]
        # After a pre-emption it is computed again, when its first token is out.
        while last > chunk and steps[chunks[last - 1].step].begin_s >= first_s:
            last -= 1
        now_s, place = queued_s, begins[request]
        while chunk < last:
            step, own = steps[place], 0
            if chunks[chunk].step == place:
                own = chunks[chunk].tokens
                chunk += 1
            begin_s, end_s = max(now_s, step.begin_s), max(now_s, step.end_s)
            parts[_QUEUE] += begin_s - now_s
            if step.no_room and step.begin_s < admitted_s:
                parts[_QUEUE] += end_s - begin_s
            else:
                chip_end_s = max(begin_s, end_s - step.host_s)
                share = (chip_end_s - begin_s) / (step.prompt_tokens + step.decode_tokens)
                parts[_HOST] += end_s - chip_end_s
                parts[_OWN] += share * own
                parts[_OTHERS] += share * (step.prompt_tokens - own)
                parts[_DECODES] += share * step.decode_tokens
            now_s = end_s
            place += 1
        parts[_LEAVING] += first_s - now_s
