"""What the remark of a published point tells of its run in words: requests, arrivals, lengths, drafts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from npusim.evidence.measured.tables import Unrepresentable

_REQUESTS = re.compile(r"\b(\d+) requests\b")
_RATE = re.compile(r"\bopen loop ([\d.]+) req/s")
_IN_SERVICE = re.compile(r"\bmax_num_seqs (\d+)\b")
_LONGEST = re.compile(r"\bmean longest output ([\d.]+)")
_CACHED = re.compile(r"\bon (\d+) cached tokens\b")
_TOGETHER = ("static batch", "burst of requests at the compiled batch", "; Batch;", "; Real Time;")
"""Of runs in which every user has one request, and all start together."""
_DRAFTED = "speculation"


@dataclass(frozen=True)
class PointNote:
    """What a remark tells; None where it does not.

    requests: of the run; together: as many as users, all at once; rate_per_s: of arrivals; in_service: requests at
    most; longest: mean tokens of the longest answer of a batch; cached: tokens before a chunk.
    """

    requests: int | None
    together: bool
    rate_per_s: float | None
    in_service: int | None
    longest: float | None
    cached: int | None


def read_note(text: str) -> PointNote:
    """The remark of a row. Raises Unrepresentable where tokens were drafted in a way that it does not tell."""
    if _DRAFTED in text:
        raise Unrepresentable("tokens were drafted, and neither how many nor how many were accepted is told")
    requests, in_service, cached = (_first(pattern, text) for pattern in (_REQUESTS, _IN_SERVICE, _CACHED))
    return PointNote(
        requests=None if requests is None else int(requests),
        together=any(words in text for words in _TOGETHER),
        rate_per_s=_first(_RATE, text),
        in_service=None if in_service is None else int(in_service),
        longest=_first(_LONGEST, text),
        cached=None if cached is None else int(cached),
    )


def _first(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return None if found is None else float(found[1])
