"""Traces whose prompts are blocks with a number each, equal where prompts begin alike: Mooncake's and Bailian's.

Mooncake (https://github.com/kvcache-ai/Mooncake, FAST25 release) numbers blocks of 512 tokens and counts milliseconds;
Bailian's usage traces (https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon) blocks of 16 and seconds.
"""

from __future__ import annotations

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import TracedRequest, blocks, part, seconds, tokens

_LENGTHS = frozenset({"timestamp", "input_length", "output_length"})
_CHAT = frozenset({"chat_id", "parent_chat_id"})
_OF_SESSIONS = frozenset({"after_answer_s"})
"""What traces have whose turns wait for answers (`sessions`)."""
_MS = 1e-3
"""Seconds."""
_MOONCAKE_BLOCK, _BAILIAN_BLOCK = 512, 16
"""Tokens of a block."""


def _request(row: TraceCells, unit_s: float, block_tokens: int) -> tuple[TracedRequest]:
    isl, osl = (tokens(key, part(row, key)) for key in ("input_length", "output_length"))
    hashed = blocks("hash_ids", row.get("hash_ids"), isl, block_tokens)
    return (TracedRequest(isl, osl, seconds("timestamp", part(row, "timestamp"), unit_s), hashed),)


def _mooncake(row: TraceCells) -> tuple[TracedRequest]:
    return _request(row, _MS, _MOONCAKE_BLOCK)


def _bailian(row: TraceCells) -> tuple[TracedRequest]:
    return _request(row, 1.0, _BAILIAN_BLOCK)


FORMATS = (
    TraceFormat("Mooncake JSONL", True, lambda keys: keys >= _LENGTHS and not keys & _CHAT, _mooncake, _MOONCAKE_BLOCK),
    TraceFormat(
        "Bailian JSONL",
        True,
        lambda keys: keys >= _LENGTHS | _CHAT and not keys & _OF_SESSIONS,
        _bailian,
        _BAILIAN_BLOCK,
    ),
)
