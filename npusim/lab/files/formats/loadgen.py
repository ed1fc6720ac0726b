"""MLPerf LoadGen's `mlperf_log_detail.txt`: lines `:::MLLOG {json}` of key and value, latencies in nanoseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs.json_text import json_tree
from npusim.lab.files.files import numbered, reading, words
from npusim.lab.files.format import TEXT, Format
from npusim.lab.files.lab_run import RATE, Conduct, LabRun, RunConditions
from npusim.lab.files.spread_names import spreads_in
from npusim.metric_names import figures_in
from npusim.metrics import LOADGEN

TOOL = "MLPerf LoadGen"
_MARK = ":::MLLOG"
_MUST_HOLD = {
    "result_perf_constraints_met": "the latency limits of the scenario are not met",
    "result_min_duration_met": "the run was too short for the scenario",
    "result_min_queries_met": "too few queries for the scenario",
}


def is_loadgen_log(text: str) -> bool:
    """Whether text is a LoadGen log."""
    return text.lstrip().startswith(_MARK)


def runs(path: Path, text: str) -> Iterator[LabRun]:
    """The run of a log. Raises UserError."""
    told = _values(path, text)
    if "result_validity" not in told:
        raise UserError(str(path), "result_validity", "the log has no result; give that of a finished run")
    figures = dict(_figures(path, told))
    scenario = str(told.get("requested_scenario", told.get("effective_scenario", "")))
    remarks = [] if told["result_validity"] == "VALID" else [f"the result is {told['result_validity']}"]
    remarks += [text for key, text in _MUST_HOLD.items() if told.get(key) is False]
    rate, tokens = figures.get("requests_per_s"), figures.get("output_tokens_per_s")
    osl = tokens.value / rate.value if rate is not None and tokens is not None and rate.value > 0.0 else None
    yield LabRun(
        str(path),
        TOOL,
        RunConditions(osl=osl, users=1 if scenario == "SingleStream" else None),
        figures,
        Conduct(
            arrival=RATE if scenario == "Server" else None,
            remarks=tuple(remarks),
            notes=(f"scenario {scenario}",),
            date=words(str(path), "test_datetime", told.get("test_datetime")),
        ),
        dict(_spreads(path, told)),
    )


def _values(path: Path, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, line in numbered(text):
        if not line.startswith(_MARK):
            continue
        try:
            entry = json_tree(line.removeprefix(_MARK), str(path), as_printed=True, line=number)
            key, value = str(entry["key"]), entry["value"]
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}:{number}", "", "is no MLLOG entry with a key and a value; it is cut") from error
        if key in found and found[key] != value and key.startswith("result_"):
            raise UserError(f"{path}:{number}", key, "the result stands twice with two values; give one log a run")
        found[key] = value
    return found


def _figures(path: Path, told: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    for key, name, times in figures_in(LOADGEN, told):
        yield name, reading(str(path), key, told[key], times)


def _spreads(path: Path, told: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    for key, name, times in spreads_in(LOADGEN, told):
        yield name, reading(str(path), key, told[key], times)


FORMATS = (Format("MLPerf mlperf_log_detail.txt", TEXT, is_loadgen_log, runs),)
