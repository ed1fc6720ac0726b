"""AIPerf's `profile_export.jsonl`: one request a line; those of the warm-up and those that failed are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npusim.workload.traces.format import TraceCells, TraceFormat
from npusim.workload.traces.row import BadCell, TracedRequest, part, seconds, tokens

_NS = 1e-9
"""Seconds."""


def _object(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadCell(key, "must be an object; give the file as the tool wrote it")
    return value


def _requests(row: TraceCells) -> tuple[TracedRequest, ...]:
    told, metrics = (_object(key, part(row, key)) for key in ("metadata", "metrics"))
    if told.get("benchmark_phase") == "warmup":
        return ()
    if row.get("error") is not None:
        return (TracedRequest(0, 0),)
    isl, osl = (_tokens(metrics, f"{side}_sequence_length") for side in ("input", "output"))
    return (TracedRequest(isl, osl, seconds("request_start_ns", part(told, "request_start_ns"), _NS)),)


def _tokens(metrics: Mapping[str, Any], key: str) -> int:
    return tokens(key, part(_object(key, part(metrics, key)), "value"))


FORMATS = (TraceFormat("AIPerf JSONL", True, lambda keys: keys >= {"metadata", "metrics"}, _requests),)
