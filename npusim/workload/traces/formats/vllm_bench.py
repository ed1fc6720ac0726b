"""Results of `vllm bench serve --save-result --save-detailed`: lengths and times of all requests of a run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import BadCell, TracedRequest, seconds, tokens

_ARRAYS = frozenset({"input_lens", "output_lens"})


def _requests(row: TraceCells) -> Iterator[TracedRequest]:
    arrays = {key: row.get(key) for key in ("input_lens", "output_lens", "start_times")}
    for key, value in arrays.items():
        if not isinstance(value, list) and (value is not None or key != "start_times"):
            raise BadCell(key, "is no list; save the result with --save-detailed")
    isls, osls, starts = arrays["input_lens"] or [], arrays["output_lens"] or [], arrays["start_times"]
    if len(isls) != len(osls) or (starts and len(starts) != len(isls)):
        raise BadCell("output_lens", f"has {len(osls):,} entries beside {len(isls):,}; the result is cut")
    for isl, osl, start in zip(isls, osls, starts or repeat(None, len(isls)), strict=True):
        time_s = None if start is None else seconds("start_times", start)
        yield TracedRequest(tokens("input_lens", isl), tokens("output_lens", osl), time_s)


FORMATS = (TraceFormat("vLLM bench JSONL", True, lambda keys: keys >= _ARRAYS, _requests),)
