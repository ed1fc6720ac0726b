"""A K-Perf workbook in npusim's own layout with measured values filled in, a sheet a model (kperf/workbook.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs import remembered
from npusim.inputs.limits import MOST_USERS
from npusim.inputs.workbook import Cells, sheets
from npusim.kperf.table import COLUMNS, PREDICTED
from npusim.lab.files.files import count, reading
from npusim.lab.files.format import WORKBOOK, Format
from npusim.lab.files.lab_run import BURST, Conduct, LabRun, RunConditions
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.words import LANGUAGES, speaker

TOOL = "K-Perf workbook"
_SHAPE = ("isl", "osl", "users")
_HEAD_WITHIN = 30
_FIGURES = [row.name for row in shown(Shown.FOLDED) if not row.exact and row.better]


def runs(path: Path) -> Iterator[LabRun]:
    """A run for every filled row of every model's sheet. Raises UserError."""
    found = 0
    for title, rows in sheets(path):
        for run in _sheet_runs(f"{path}:{title}", rows):
            found += 1
            yield run
    if not found:
        raise UserError(str(path), "", "no sheet has the K-Perf columns with filled rows; fill in npusim's layout")


@remembered
def _names() -> dict[str, str]:
    """Columns by their heading in any language."""
    return {column.label_in(speaker(language)): column.name for language in LANGUAGES for column in COLUMNS}


def _sheet_runs(location: str, rows: Iterator[tuple[int, Cells]]) -> Iterator[LabRun]:
    named = _names()
    names: list[str | None] | None = None
    for number, cells in rows:
        if names is None:
            labels = [str(cell).strip() if cell is not None else "" for cell in cells]
            if set(_SHAPE) <= {named.get(label) for label in labels}:
                names = _header(f"{location}!{number}", [named.get(label) for label in labels])
            elif number > _HEAD_WITHIN:
                return
            continue
        row = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell not in (None, "")}
        if set(_SHAPE) <= set(row) and set(row) & set(_FIGURES):
            yield _run(f"{location}!{number}", row)


def _header(location: str, names: list[str | None]) -> list[str | None]:
    known = [name for name in names if name]
    twice = next((name for name in known if known.count(name) > 1), None)
    if twice is not None:
        raise UserError(location, twice, "the column stands twice; keep one")
    return names


def _run(location: str, row: dict[str, Any]) -> LabRun:
    isl, osl = (count(location, name, row[name], 1) for name in _SHAPE[:2])
    users = count(location, "users", row["users"], 1, MOST_USERS)
    figures: dict[str, Reading] = {name: reading(location, name, row[name]) for name in _FIGURES if name in row}
    scope = str(row.get("power_scope", "cards"))
    predicted = str(row.get("status", "")) == PREDICTED
    return LabRun(
        location,
        TOOL,
        RunConditions(
            model=_text(row, "model") or _text(row, "model_title"),
            precision=_text(row, "precision"),
            kv_precision=_text(row, "kv_precision"),
            device=_text(row, "chip"),
            cards=count(location, "cards", row["cards"], 1) if "cards" in row else None,
            tensor_parallel=count(location, "chips", row["chips"], 1) if "chips" in row else None,
            runtime=_text(row, "runtime"),
            isl=isl,
            osl=osl,
            users=users,
            prompts="different",
        ),
        figures,
        Conduct(
            arrival=BURST,
            requests=count(location, "requests", row["requests"], 1) if "requests" in row else None,
            failed=count(location, "refused", row["refused"]) if "refused" in row else None,
            lengths_fixed=True,
            power_scope="cards" if scope.startswith("cards") else scope,
            remarks=("the row's status says that it was predicted, not measured",) if predicted else (),
        ),
    )


def _text(row: dict[str, Any], name: str) -> str | None:
    return str(row[name]).strip() if name in row else None


FORMATS = (Format("a filled K-Perf workbook", WORKBOOK, lambda path: True, lambda path, _: runs(path)),)
