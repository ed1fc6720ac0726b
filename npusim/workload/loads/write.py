"""A drawn load as a file of its requests, which `--trace` reads back to the same figures."""

from __future__ import annotations

import json
from collections.abc import Iterator

from npusim.workload.arrivals import FIRST
from npusim.workload.traces.formats.sessions import BLOCK_TOKENS, KEYS, NO_PARENT
from npusim.workload.traces.read import Trace


def trace_text(trace: Trace) -> str:
    """The requests of a trace of sessions, an object a line."""
    return "".join(f"{json.dumps(dict(zip(KEYS, row, strict=True)))}\n" for row in _rows(trace))


def _rows(trace: Trace) -> Iterator[tuple[object, ...]]:
    assert trace.before is not None and trace.times_s is not None
    turns: list[int] = []
    begin, befores = 0, trace.before.tolist()
    for place, ((isl, osl), before, wait_s) in enumerate(
        zip(trace.tokens.tolist(), befores, trace.times_s.tolist(), strict=True)
    ):
        is_first = before == FIRST
        turns.append(1 if is_first else turns[before] + 1)
        end = begin - (-isl // BLOCK_TOKENS)
        parent = NO_PARENT if is_first else before
        times = (wait_s, None) if is_first else (None, wait_s)
        yield place, parent, *times, isl, osl, turns[place], trace.blocks[begin:end].tolist()
        begin = end
