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
from npusim.inputs.limits import MOST_USERS
from npusim.lab.files.files import Line, count, csv_lines
from npusim.lab.files.format import CSV, Format
from npusim.lab.files.lab_run import BURST, Conduct, LabRun, RunConditions
from npusim.lab.files.monitoring import logged, read_log
from npusim.lab.files.naming import told_precision
from npusim.lab.files.power_log import PowerLog
from npusim.metric_names import figure_of, figures_in, named_by
from npusim.metrics import FURIOSA_PERF

TOOL = "furiosa-perf"
REQUESTS_PER_USER = 3
_SHAPE = ("Input Tokens", "Output Tokens", "Concurrent")
_RATES = [text for text, (row, _) in named_by(FURIOSA_PERF).items() if row.unit == "tokens/s"]
_MEDIAN = "P50 "
"""It writes medians twice."""


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
    setting, conduct = _told(preamble), _conduct(preamble)
    for line in lines:
        yield _run(path, line, header, setting, conduct)


def _run(path: Path, line: Line, columns: list[str], setting: RunConditions, conduct: Conduct) -> LabRun:
    isl, osl = (line.count(name) for name in _SHAPE[:2])
    users = count(line.location, _SHAPE[2], line[_SHAPE[2]], 1, MOST_USERS)
    known = [column for column in columns if not column.startswith(_MEDIAN) and line.has(column)]
    figures = {name: line.reading(column, times) for column, name, times in figures_in(FURIOSA_PERF, known)}
    requests = REQUESTS_PER_USER * users
    seconds = _duration_s(figures, requests * osl)
    own = replace(conduct, requests=requests, duration_s=seconds, expected_osl=osl)
    log = _log(path, f"{isl}.{osl}.{users}")
    if log is not None:
        own = replace(logged(own, log), dates=log.times[:1])
        figures |= log.figures()
    whole = RunConditions(isl=isl, osl=osl, users=users).told_or(setting)
    whole = RunConditions(precision=told_precision(whole.model or "")).told_or(whole)
    return LabRun(line.location, TOOL, whole, figures, own)


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


def _check(location: str, header: list[str]) -> None:
    unknown = [name for name in header if name not in _SHAPE and figure_of(FURIOSA_PERF, name) is None]
    missing = [name for name in (*_SHAPE, *_RATES) if name not in header]
    if unknown:
        near = next((name for name in _respelled(unknown[0]) if figure_of(FURIOSA_PERF, name) is not None), None)
        mend = f"furiosa-perf writes '{near}': give it in that unit" if near else "take the column out"
        raise UserError(location, unknown[0], f"no column of furiosa-perf; {mend}")
    if missing:
        raise UserError(location, missing[0], "the column is missing; give the summary as furiosa-perf wrote it")


def _respelled(column: str) -> Iterator[str]:
    """A column with the units that furiosa-perf writes."""
    for known in named_by(FURIOSA_PERF):
        yield f"{column.split('(')[0]}({known.partition('(')[2]}"


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
        prefix_caching=False if _NO_CACHE.search(told.get("api server command", "")) else None,
    )


_NO_CACHE = re.compile(r"--(no-enable|disable)-prefix-caching")
"""What a server's command says where prompts are not kept; that prompts are random it does not say."""


def _conduct(preamble: list[str]) -> Conduct:
    told = _preamble(preamble)
    return Conduct(
        arrival=BURST,
        lengths_fixed=True,
        power_scope="cards",
        sdk=told.get("framework version") or None,
        date=told.get("date") or None,
    )


def _preamble(lines: list[str]) -> dict[str, str]:
    """`* Key: value` lines by key, in lower case."""
    pairs = (line.lstrip("* ").partition(":") for line in lines)
    return {key.strip().lower(): value.strip() for key, colon, value in pairs if colon}


FORMATS = (Format("furiosa-perf summary*.csv and monitoring logs", CSV, is_summary, runs),)
