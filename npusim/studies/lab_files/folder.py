"""A file or a folder that a lab hands over, as runs; what is of no known kind is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from npusim.errors import UserError
from npusim.studies.lab_files import furiosa_perf, vllm_bench
from npusim.studies.lab_files.files import json_objects, read_text
from npusim.studies.lab_files.lab_run import LabRun

KNOWN = (
    "furiosa-perf summary*.csv and monitoring logs, vllm bench serve JSON, AIPerf JSON, CSV and JSONL, "
    "Prometheus /metrics text, sensor CSV, MLPerf mlperf_log_detail.txt, a filled K-Perf workbook, "
    "and npusim's measured tables"
)


@dataclass(frozen=True)
class Unread:
    """A file that was left out, and why."""

    place: str
    reason: str


@dataclass(frozen=True)
class HandedIn:
    """files: that were read; runs: of them; unread: other files of the folder."""

    files: tuple[Path, ...]
    runs: tuple[LabRun, ...]
    unread: tuple[Unread, ...]


def _json_runs(path: Path, text: str) -> Iterable[LabRun] | None:
    if path.suffix not in (".json", ".jsonl"):
        return None
    objects = json_objects(path, text)
    return vllm_bench.runs(path, objects) if any(vllm_bench.is_result(found) for found in objects) else None


def _summary_runs(path: Path, text: str) -> Iterable[LabRun] | None:
    return furiosa_perf.runs(path, text) if path.suffix == ".csv" and furiosa_perf.is_summary(text) else None


_READERS: tuple[Callable[[Path, str], Iterable[LabRun] | None], ...] = (_json_runs, _summary_runs)


def hand_in(path: Path) -> HandedIn:
    """Every run of a file, or of the files of a folder and its folders. Raises UserError."""
    if not path.exists():
        raise UserError(str(path), "", "no such file or folder; give what the lab handed over")
    if path.is_file():
        found = _runs(path)
        if found is None:
            raise UserError(str(path), "", f"is of no known kind; known: {KNOWN}")
        return HandedIn((path,), tuple(found), ())
    files, runs, unread = [], [], []
    for file in _files(path):
        found = _runs(file)
        if found is None:
            unread.append(Unread(str(file), "of no known kind"))
        else:
            files.append(file)
            runs += found
    if not files:
        raise UserError(str(path), "", f"holds no file of a known kind; known: {KNOWN}")
    return HandedIn(tuple(files), tuple(runs), tuple(unread))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _runs(path: Path) -> list[LabRun] | None:
    text = read_text(path)
    for reader in _READERS:
        found = reader(path, text)
        if found is not None:
            return list(found)
    return None
