"""Azure LLM inference traces of 2023 and 2024: a request a row, with the time of day at which it came.

https://github.com/Azure/AzurePublicDataset, AzureLLMInferenceDataset2023 and 2024.
"""

from __future__ import annotations

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import TracedRequest, moment, tokens

_COLUMNS = frozenset({"TIMESTAMP", "ContextTokens", "GeneratedTokens"})


def _requests(row: TraceCells) -> tuple[TracedRequest]:
    isl, osl = (tokens(key, row[key]) for key in ("ContextTokens", "GeneratedTokens"))
    return (TracedRequest(isl, osl, moment("TIMESTAMP", row["TIMESTAMP"])),)


FORMATS = (TraceFormat("Azure LLM inference CSV", False, lambda columns: columns >= _COLUMNS, _requests),)
