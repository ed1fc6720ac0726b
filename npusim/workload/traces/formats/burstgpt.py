"""BurstGPT: requests to GPT models over months, with the second at which each came; an answer of 0 tokens failed.

https://github.com/HPMLL/BurstGPT.
"""

from __future__ import annotations

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import TracedRequest, seconds, tokens

_COLUMNS = frozenset({"Timestamp", "Model", "Request tokens", "Response tokens"})


def _requests(row: TraceCells) -> tuple[TracedRequest]:
    isl, osl = (tokens(key, row[key]) for key in ("Request tokens", "Response tokens"))
    return (TracedRequest(isl, osl, seconds("Timestamp", row["Timestamp"])),)


FORMATS = (TraceFormat("BurstGPT CSV", False, lambda columns: columns >= _COLUMNS, _requests),)
