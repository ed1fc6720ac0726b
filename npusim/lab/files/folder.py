"""A file or a folder that a lab hands over: runs, and npusim's own measured tables; what is of no kind is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from npusim.errors import UserError
from npusim.evidence.measured.kinds import table_kinds
from npusim.lab.files import (
    aiperf,
    aiperf_requests,
    furiosa_perf,
    kperf_sheet,
    loadgen,
    prometheus,
    sensors,
    vllm_bench,
)
from npusim.lab.files.files import json_objects, read_text
from npusim.lab.files.lab_run import LabRun

KNOWN = (
    "furiosa-perf summary*.csv and monitoring logs, vllm bench serve JSON, AIPerf JSON, CSV and JSONL, "
    "Prometheus /metrics text, sensor CSV, MLPerf mlperf_log_detail.txt, a filled K-Perf workbook, "
    "and npusim's measured tables"
)
Runs = Iterable[LabRun] | None


@dataclass(frozen=True)
class Unread:
    """A file that was left out, and why."""

    place: str
    reason: str


@dataclass(frozen=True)
class HandedIn:
    """files: that were read; runs: of them; tables: those of npusim's own measured kinds; unread: other files."""

    files: tuple[Path, ...]
    runs: tuple[LabRun, ...]
    tables: tuple[Path, ...]
    unread: tuple[Unread, ...]


def hand_in(path: Path) -> HandedIn:
    """Every run of a file, or of the files of a folder and its folders. Raises UserError."""
    if not path.exists():
        raise UserError(str(path), "", "no such file or folder; give what the lab handed over")
    files, runs, tables, unread = [], [], [], []
    for file in [path] if path.is_file() else _files(path):
        if file.suffix == ".csv" and _is_table(read_text(file)):
            files.append(file)
            tables.append(file)
            continue
        found = _runs(file, alone=path.is_file())
        if isinstance(found, str):
            unread.append(Unread(str(file), found))
        else:
            files.append(file)
            runs += found
    if not files:
        what = "is of no known kind" if path.is_file() else "holds no file of a known kind"
        raise UserError(str(path), "", f"{what}; known: {KNOWN}")
    return HandedIn(tuple(files), tuple(runs), tuple(tables), tuple(unread))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _is_table(text: str) -> bool:
    columns = {name.strip() for name in text.split("\n", 1)[0].split(",")}
    return any(kind.describes(columns) for kind in table_kinds().values())


def _runs(path: Path, alone: bool) -> list[LabRun] | str:
    """The runs of a file, or why it is left out. alone: the file itself was handed in, not its folder."""
    if path.suffix == ".xlsx":
        return list(kperf_sheet.runs(path))
    if path.name.endswith(".pytorch.json"):
        return "a twin of a result in another format"
    if path.suffix not in (".csv", ".json", ".jsonl", ".txt", ".prom", ".log", ".metrics", ""):
        return "of no known kind"
    text = read_text(path)
    if (
        not alone
        and path.suffix == ".csv"
        and sensors.is_monitoring(text)
        and any(path.parent.parent.glob("summary*.csv"))
    ):
        return "read with the summary that it belongs to"
    for suffixes, reader in _READERS:
        found = reader(path, text) if path.suffix in suffixes else None
        if found is not None:
            return list(found)
    return "of no known kind"


def _json(path: Path, text: str) -> Runs:
    objects = json_objects(path, text)
    for is_kind, runs in _JSON_KINDS:
        if any(is_kind(found) for found in objects):
            return runs(path, objects)
    return None


def _csv(path: Path, text: str) -> Runs:
    for is_kind, runs in _CSV_KINDS:
        if is_kind(text):
            return runs(path, text)
    return None


def _text(path: Path, text: str) -> Runs:
    for is_kind, runs in _TEXT_KINDS:
        if is_kind(text):
            return runs(path, text)
    return None


_JSON_KINDS = (
    (vllm_bench.is_result, vllm_bench.runs),
    (aiperf_requests.is_request, aiperf_requests.runs),
    (aiperf.is_export, aiperf.runs),
)
_CSV_KINDS = (
    (furiosa_perf.is_summary, furiosa_perf.runs),
    (aiperf.is_csv, aiperf.csv_runs),
    (sensors.is_log, sensors.runs),
)
_TEXT_KINDS = ((loadgen.is_log, loadgen.runs), (prometheus.is_page, prometheus.runs))
_READERS: tuple[tuple[tuple[str, ...], Callable[[Path, str], Runs]], ...] = (
    ((".json", ".jsonl"), _json),
    ((".csv",), _csv),
    ((".txt", ".prom", ".log", ".metrics", ""), _text),
)
