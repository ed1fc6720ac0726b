"""furiosa-perf: `summary*.csv` of its benchmark, with the monitoring logs that lie beside it.

Columns and protocol as furiosa-ai/furiosa-perf writes them (furiosa_perf/benchmark/vllm.py@058546c,
runner/monitor.py@04caa60): TTFT and end to end in seconds, TPOT in milliseconds; three requests a user, all sent at
once, random prompts, end of sequence ignored. Its log sums the watts of cards at work, and writes zero where none is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.lab.files.files import Line, csv_lines
from npusim.lab.files.lab_run import BURST, Conduct, LabRun, RunConditions
from npusim.lab.files.naming import from_tree, told_precision
from npusim.lab.files.power_log import PowerLog, read_log

TOOL = "furiosa-perf"
REQUESTS_PER_USER = 3
_SHAPE = ("Input Tokens", "Output Tokens", "Concurrent")
_RATES = {"Output Throughput(tok/s)": "output_tokens_per_s", "Total Throughput(tok/s)": "total_tokens_per_s"}
_LATENCIES = {"TTFT(s)": ("ttft_ms", 1e3), "TPOT(ms)": ("tpot_ms", 1.0), "E2EL(s)": ("e2e_ms", 1e3)}
_STATISTICS = {"Mean": "mean", "Median": "p50", "P25": "p25", "P75": "p75", "P90": "p90", "P95": "p95", "P99": "p99"}
_POWER = {"mean_power": "power_w", "p95_power": "power_w_p95", "p99_power": "power_w_p99"}
_FIGURES = {
    **{name: (figure, 1.0) for name, figure in _RATES.items()},
    **{
        f"{word} {latency}": (f"{name}_{part}", factor)
        for latency, (name, factor) in _LATENCIES.items()
        for word, part in _STATISTICS.items()
    },
    **{name: (figure, 1.0) for name, figure in _POWER.items()},
}
_SAME = {f"P50 {latency}" for latency in _LATENCIES}


def is_summary(text: str) -> bool:
    """Whether the text is a summary of furiosa-perf."""
    return any(line.startswith(",".join(_SHAPE)) or _looks_like(line) for line in text.splitlines()[:200])


def runs(path: Path, text: str) -> Iterator[LabRun]:
    """A run for every row. Raises UserError for columns that are not furiosa-perf's."""
    preamble, table, first = _parts(text)
    header, lines = csv_lines(path, table, first)
    _check(f"{path}:{first}", header)
    if not lines:
        raise UserError(str(path), "", "has no rows; give the summary of a finished benchmark")
    setting, conduct = _told(preamble).filled(from_tree(path)), _conduct(preamble)
    for line in lines:
        yield _run(path, line, setting, conduct)


def _run(path: Path, line: Line, setting: RunConditions, conduct: Conduct) -> LabRun:
    isl, osl, users = (line.count(name) for name in _SHAPE)
    figures = {name: line.reading(column, factor) for column, (name, factor) in _FIGURES.items() if line.has(column)}
    requests = REQUESTS_PER_USER * users
    seconds = _duration_s(figures, requests * osl)
    own = replace(conduct, requests=requests, duration_s=seconds, expected_osl=osl)
    log = _log(path, f"{isl}.{osl}.{users}")
    if log is not None:
        own = log.conduct(own)
        figures |= log.figures()
    whole = RunConditions(isl=isl, osl=osl, users=users).filled(setting)
    whole = RunConditions(precision=told_precision(whole.model or "")).filled(whole)
    return LabRun(line.place, TOOL, whole, figures, own)


def _duration_s(figures: dict[str, Reading], output_tokens: int) -> float | None:
    """Seconds of the run, from its tokens and their rate."""
    rate = figures.get("output_tokens_per_s")
    return output_tokens / rate.value if rate is not None and rate.value > 0.0 else None


def _log(path: Path, point: str) -> PowerLog | None:
    found = sorted((path.parent / point).glob("*_monitoring_log.csv"))
    return read_log(found[0]) if found else None


def _parts(text: str) -> tuple[list[str], str, int]:
    """Preamble lines, the table's text, and the number of its first line."""
    lines = text.splitlines()
    start = next(
        (number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("*")), len(lines)
    )
    kept = [line for line in lines[start:] if not line.lstrip().startswith("*")]
    return lines[:start], "\n".join(kept), start + 1


def _check(place: str, header: list[str]) -> None:
    known = {*_SHAPE, *_FIGURES, *_SAME}
    unknown = [name for name in header if name not in known]
    missing = [name for name in (*_SHAPE, *_RATES) if name not in header]
    if unknown:
        near = next((name for name in known if name.split("(")[0] == unknown[0].split("(")[0]), None)
        mend = f"furiosa-perf writes '{near}': give it in that unit" if near else "take the column out"
        raise UserError(place, unknown[0], f"no column of furiosa-perf; {mend}")
    if missing:
        raise UserError(place, missing[0], "the column is missing; give the summary as furiosa-perf wrote it")


def _looks_like(line: str) -> bool:
    names = [name.strip() for name in line.split(",")]
    return len(set(_SHAPE) & set(names)) >= 2


def _told(preamble: list[str]) -> RunConditions:
    told = _preamble(preamble)
    device = re.fullmatch(r"(?P<device>.+?)\s*x\s*(?P<cards>\d+)", told.get("device info", ""), re.IGNORECASE)
    return RunConditions(
        model=told.get("model info", "").split()[0] if told.get("model info") else None,
        device=device["device"] if device else None,
        cards=int(device["cards"]) if device else None,
        runtime=told.get("framework version") or None,
    )


def _conduct(preamble: list[str]) -> Conduct:
    told = _preamble(preamble)
    return Conduct(
        arrival=BURST,
        prompts_differ=True,
        lengths_fixed=True,
        power_scope="cards",
        sdk=told.get("framework version") or None,
        date=told.get("date") or None,
    )


def _preamble(lines: list[str]) -> dict[str, str]:
    """`* Key: value` lines by key, in lower case."""
    pairs = (line.lstrip("* ").partition(":") for line in lines)
    return {key.strip().lower(): value.strip() for key, colon, value in pairs if colon}
