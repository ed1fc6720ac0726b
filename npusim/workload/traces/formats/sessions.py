"""Traces of sessions, whose turns wait for the answers before them: what npusim writes of a load that is described.

The keys are those of Bailian's traces, whose blocks have 16 tokens, and one more: `after_answer_s`, how long after the
answer to `parent_chat_id` a turn is sent. First turns have a `timestamp` in seconds in its place.
"""

from __future__ import annotations

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import BadCell, TracedRequest, TurnLink, blocks, number, part, seconds, tokens

SAYS = "npusim sessions JSONL"
BLOCK_TOKENS = 16
KEYS = (
    "chat_id", "parent_chat_id", "timestamp", "after_answer_s", "input_length", "output_length", "turn", "hash_ids",
)  # fmt: skip
"""In the order in which they are written."""
NO_PARENT = -1
"""In `parent_chat_id` of a first turn."""
_AFTER = "after_answer_s"


def _request(row: TraceCells) -> tuple[TracedRequest]:
    isl, osl = (tokens(key, part(row, key)) for key in ("input_length", "output_length"))
    if min(isl, osl) < 1:
        raise BadCell(
            "input_length" if isl < 1 else "output_length", "0 tokens are no turn of a session; give 1 or more"
        )
    hashed = blocks("hash_ids", part(row, "hash_ids"), isl, BLOCK_TOKENS)
    if not hashed:
        raise BadCell("hash_ids", "is empty; a turn of a session needs the blocks of its prompt")
    chat, parent = number("chat_id", part(row, "chat_id")), part(row, "parent_chat_id")
    parent = NO_PARENT if parent == NO_PARENT else number("parent_chat_id", parent)
    key, other = ("timestamp", _AFTER) if parent == NO_PARENT else (_AFTER, "timestamp")
    if row.get(other) is not None:
        raise BadCell(other, f"must be null; this turn comes as its {key} says")
    wait_s = seconds(key, part(row, key))
    if wait_s < 0.0:
        raise BadCell(key, "must be 0 or more")
    return (TracedRequest(isl, osl, wait_s, hashed, TurnLink(chat, parent)),)


FORMATS = (TraceFormat(SAYS, True, lambda keys: keys >= frozenset(KEYS) - {"turn"}, _request, BLOCK_TOKENS),)
