"""Pairs of lengths without times, as a tokenizer counts them in ShareGPT and the like: CSV or JSONL."""

from __future__ import annotations

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import TracedRequest, part, tokens

_PAIRS = (
    ("isl", "osl"),
    ("input_length", "output_length"),
    ("input_tokens", "output_tokens"),
    ("input_len", "output_len"),
    ("prompt_tokens", "completion_tokens"),
    ("prompt_len", "output_len"),
)
"""How people call prompt and output tokens."""
_TIMES = frozenset({"timestamp"})


def _is_pairs(keys: frozenset[str]) -> bool:
    return any(keys >= {*pair} for pair in _PAIRS) and not keys & _TIMES


def _requests(row: TraceCells) -> tuple[TracedRequest]:
    names = next((pair for pair in _PAIRS if pair[0] in row and pair[1] in row), _PAIRS[0])
    isl, osl = (tokens(key, part(row, key)) for key in names)
    return (TracedRequest(isl, osl),)


FORMATS = (
    TraceFormat("pairs of lengths as CSV (isl,osl)", False, _is_pairs, _requests),
    TraceFormat('pairs of lengths as JSONL ({"isl": .., "osl": ..})', True, _is_pairs, _requests),
)
