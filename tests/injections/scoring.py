"""What `npusim check` makes of sound files, and of those with an error put in: accused, doubted, refused or missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from zipfile import ZipFile

import lab_files
import sensor_logs
from errors import fitting
from lab_files import TOLD, LabFormat
from sound_rows import Row, engine_runs, rngd_runs, vllm_runs

from npusim.errors import UserError
from npusim.lab.check import result
from npusim.lab.check.predictions import Predictions
from npusim.lab.check.row import CheckedRow
from npusim.lab.files.lab_run import RunConditions
from npusim.lab.rules.remark import NOTE

ACCUSED, DOUBTED, REFUSED, MISSED = "accused", "doubted", "refused", "missed"
BAD = ("impossible", "implausible")
SHARED = Predictions(0)
"""Predictions of the sound rows serve every file that is made of them."""


def _formats_told(row: Row) -> RunConditions:
    return RunConditions(**TOLD)  # type: ignore[arg-type]


def _all_told(row: Row) -> RunConditions:
    return replace(_formats_told(row), device=str(row["device"]).lower(), cards=round(float(row["cards"])))


def _nothing_told(row: Row) -> RunConditions:
    return replace(_all_told(row), model=str(row["model"]), users=float(row["users"]))


def _lengths_told(row: Row) -> RunConditions:
    return replace(_nothing_told(row), isl=float(row["isl"]), osl=float(row["osl"]))


TABLE = "measured table"
"""The format whose rows are of an engine that it describes."""
FORMATS: tuple[LabFormat, ...] = (
    LabFormat("furiosa-perf", lab_files.furiosa_perf, _formats_told),
    LabFormat("vLLM", lab_files.vllm, _all_told),
    LabFormat("AIPerf JSON", lab_files.aiperf_json, _all_told),
    LabFormat("AIPerf CSV", lab_files.aiperf_csv, _nothing_told),
    LabFormat("LoadGen", lab_files.loadgen, _lengths_told),
    LabFormat(TABLE, lab_files.plain_csv, lambda row: RunConditions()),
    LabFormat("workbook", lab_files.workbook, lambda row: RunConditions()),
)
ONE_RUN = ("AIPerf CSV", "LoadGen")
"""Formats whose files tell no users, or hold one run: the target alone is checked."""


def checked(path: Path, given: RunConditions) -> tuple[CheckedRow, ...]:
    """The rows of a file. Raises UserError."""
    SHARED.made = 0
    with patch.object(result, "Predictions", lambda seed: SHARED):
        return result.check_measured(path, given, 0, lambda _: None).rows


def score_of(found: Sequence[CheckedRow], sound: Sequence[CheckedRow]) -> str:
    """Whether a row is accused, or doubted, that was not in the sound file."""
    accused, doubts = (
        (sum(row.verdict in BAD for row in rows) for rows in (found, sound)),
        [_doubts(sound), _doubts(found)],
    )
    now, before = accused
    if now > before:
        return ACCUSED
    return DOUBTED if doubts[1] - doubts[0] else MISSED


def _doubts(rows: Sequence[CheckedRow]) -> Counter[str]:
    return Counter(remark.rule for row in rows for remark in row.remarks if remark.severity != NOTE)


def _content(folder: Path) -> dict[str, bytes]:
    """The bytes of each file; of a workbook, of its sheets."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".xlsx":
            with ZipFile(path) as book:
                found |= {name: book.read(name) for name in book.namelist() if name.startswith("xl/")}
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def injected(form: LabFormat, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Each error that a format can hold, with its score."""
    kept = [rows[1], rows[1]] if form.name in ONE_RUN else list(rows)
    given = form.given(kept[1])
    with TemporaryDirectory() as folder:
        sound = checked(form.write(Path(folder), _shown(form, kept)), given)
        plain = _content(Path(folder))
    for error in fitting(form.name, kept):
        with TemporaryDirectory() as folder:
            path = form.write(Path(folder), _shown(form, error.change(kept)))
            if _content(Path(folder)) != plain:
                yield error.name, _scored(path, given, sound)


def _shown(form: LabFormat, rows: list[Row]) -> list[Row]:
    """The rows that the files hold: of a format of one run the target."""
    return rows[1:] if form.name in ONE_RUN else rows


def _scored(path: Path, given: RunConditions, sound: Sequence[CheckedRow]) -> str:
    try:
        return score_of(checked(path, given), sound)
    except UserError:
        return REFUSED


def logged() -> Iterator[tuple[str, str]]:
    """Each log that no sensor writes, with its score."""
    with TemporaryDirectory() as folder:
        sound = checked(sensor_logs.write(Path(folder), sensor_logs.sound()), RunConditions())
    for name, write in sensor_logs.LOGS.items():
        with TemporaryDirectory() as folder:
            yield name, _scored(write(Path(folder)), RunConditions(), sound)


def sound_files() -> Iterator[tuple[str, Callable[[Path], Path], RunConditions]]:
    """Published runs in every format: its name, how to write it, what is given."""
    own = _by(engine_runs(), "isl", "osl")
    for form in FORMATS:
        for rows in own if form.name == TABLE else [*_by(vllm_runs(), "model"), *own]:
            whole = [[row] for row in rows] if form.name in ONE_RUN else [rows]
            yield from ((form.name, _writer(form, part), form.given(part[0])) for part in whole)
    for rows in _by(list(rngd_runs()), "model", "cards", "date"):
        yield FORMATS[0].name, _writer(FORMATS[0], rows), RunConditions()


def _by(rows: Sequence[Row], *names: str) -> list[list[Row]]:
    found: dict[tuple[float | str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(found.values())


def _writer(form: LabFormat, rows: list[Row]) -> Callable[[Path], Path]:
    return lambda folder: form.write(folder, rows)


def confusion() -> dict[str, dict[str, str]]:
    """Every error's score by format."""
    served, own = vllm_runs()[:_SWEEP], _by(engine_runs(), "isl", "osl")[1]
    found = {form.name: dict(injected(form, own if form.name == TABLE else served)) for form in FORMATS}
    return found | {"sensor log": dict(logged())}


_SWEEP = 4
"""Runs of one model."""


def false_alarms() -> dict[str, dict[str, int]]:
    """Sound rows of each format, and how many of them are accused and doubted."""
    found: dict[str, Counter[str]] = {}
    for name, write, given in sound_files():
        with TemporaryDirectory() as folder:
            rows = checked(write(Path(folder)), given)
        counts = found.setdefault(name, Counter(rows=0, accused=0))
        counts["rows"] += len(rows)
        counts[ACCUSED] += sum(row.verdict in BAD for row in rows)
    return {name: dict(counts) for name, counts in found.items()}
