"""A K-Perf workbook whose measuring sheets a lab filled in (kperf/measuring.py says what they ask).

A sheet is known by the headings of its table, in any language, wherever it stands and whatever it is called. Sheets of
predictions are read to know a copy of them by, and their rows are runs where the status says that they were measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs import remembered
from npusim.inputs.workbook import BrokenWorkbook, Cells, Sheet, Uncomputed, sheets
from npusim.kperf.measuring import ASKED, HEADINGS, MEASURED, MEASURING_COLUMNS, SHAPE
from npusim.kperf.table import COLUMNS, PREDICTED
from npusim.lab.files.copied import copied
from npusim.lab.files.files import is_empty
from npusim.lab.files.format import WORKBOOK, Format
from npusim.lab.files.lab_run import LabRun
from npusim.lab.files.sheet_row import FIGURES, JUDGED, SheetRow, Told, run_of
from npusim.words import LANGUAGES, speaker

_HEAD_WITHIN = 100
"""Rows of a sheet within which the headings of its table are."""
_EMPTY = "no measured value is filled in; fill in a sheet of measured values of npusim's own layout"
_MOST_UNREAD, _LONGEST = 5, 40
_Predictions = dict[tuple[Any, ...], list[dict[str, float]]]


@dataclass
class _Table:
    """The table of a sheet. location: of the sheet; told: what stands above it; unknown: words above it, and headings,
    that are none of ours; names: of its columns; rows: those with anything in them."""

    location: str
    hidden: bool
    told: Told = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    rows: list[SheetRow] = field(default_factory=list)

    @property
    def measuring(self) -> bool:
        return any(name is not None and name.startswith(MEASURED) for name in self.names)

    @property
    def remarks(self) -> tuple[str, ...]:
        return ("the sheet is hidden",) if self.hidden else ()

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"not read: '{word[:_LONGEST]}'" for word in self.unknown[:_MOST_UNREAD])

    def measured(self) -> Iterator[SheetRow]:
        """The rows with a measured figure, under the names of the figures."""
        for row in self.rows:
            if self.measuring:
                own = row.renamed(MEASURED)
            elif row.cells.get("status") not in _said_to_be_predicted():
                own = row
            else:
                continue
            if set(own.cells) & set(FIGURES):
                yield own


def runs(path: Path) -> Iterator[LabRun]:
    """A run for each row that a lab filled in. Raises UserError."""
    tables = _known_tables(path)
    predicted: _Predictions = defaultdict(list)
    for table in tables:
        for row in () if table.measuring else table.rows:
            if row.cells.get("status") in _said_to_be_predicted():
                predicted[row.shape].append(row.numbers())
    for table in tables:
        for row in table.measured():
            row.require(SHAPE)
            run = run_of(row, table.told if table.measuring else None, table.remarks, table.notes)
            measured = {name: row.cells[name] for name in JUDGED if name in row.cells}
            is_copy = copied(measured, predicted.get(row.shape, ()))
            yield replace(run, conduct=replace(run.conduct, copied=is_copy))


def _tables(path: Path) -> list[_Table]:
    """The K-Perf tables of the workbook. Raises UserError."""
    found = [_table(str(path), sheet) for sheet in sheets(path)]
    return [table for table in found if table is not None]


_known_tables = remembered(_tables)


def _table(location: str, sheet: Sheet) -> _Table | None:
    table, head = _Table(f"{location}:{sheet.title}", sheet.hidden), 0
    for number, cells in sheet.rows:
        if head:
            table.rows += _row(table, number, cells)
        elif not (head := number if _is_head(cells) else 0):
            if number > _HEAD_WITHIN:
                return None
            _tell(table, number, cells)
        else:
            _read_head(table, number, cells)
    if head and table.measuring:
        _require_unmerged(table, sheet.merged, head)
    return table if head else None


@remembered
def _columns() -> dict[str, str]:
    """Columns by their heading in any language."""
    columns = (*COLUMNS, *MEASURING_COLUMNS)
    return {column.label_in(speaker(language)): column.name for language in LANGUAGES for column in columns}


@remembered
def _asked() -> dict[str, str]:
    """What is asked above a table by its title in any language; "" for headings of these lines."""
    spoken = [speaker(language) for language in LANGUAGES]
    titles = {say(asked.title): asked.name for say in spoken for asked in ASKED}
    return {say(heading): "" for say in spoken for heading in HEADINGS} | titles


def _label(cell: Any) -> str:
    return "" if cell is None else " ".join(str(cell).split())


def _is_head(cells: Cells) -> bool:
    return set(SHAPE) <= {_columns().get(_label(cell)) for cell in cells}


def _read_head(table: _Table, number: int, cells: Cells) -> None:
    labels = [_label(cell) for cell in cells]
    table.names = [_columns().get(label) for label in labels]
    known = [name for name in table.names if name]
    twice = next((name for name in known if known.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{table.location}!{number}", twice, "the column stands twice; keep one")
    table.unknown += [label for label in labels if label and label not in _columns()]


def _tell(table: _Table, number: int, cells: Cells) -> None:
    """Takes what a line above the table tells: a title, and the value in the cell after it."""
    for at, cell in enumerate(cells[:-1]):
        label, value = _label(cell), cells[at + 1]
        name = _asked().get(label)
        if name and not is_empty(value):
            table.told[name] = f"{table.location}!{number}", value
        if name is not None:
            return
        if label and not is_empty(value):
            table.unknown.append(label)
            return


def _row(table: _Table, number: int, cells: Cells) -> Iterator[SheetRow]:
    """The row, where it holds anything."""
    named = {name: cell for name, cell in zip(table.names, cells, strict=False) if name and not is_empty(cell)}
    location = f"{table.location}!{number}"
    for name, cell in named.items():
        if isinstance(cell, Uncomputed):
            what = f"holds the formula {cell[:_LONGEST]} without its value"
            raise UserError(location, name, f"{what}; save the file in a spreadsheet program, or write the value")
    if named:
        yield SheetRow(location, named)


def _require_unmerged(table: _Table, merged: tuple[str, ...], head: int) -> None:
    """Raises UserError where a measured value stands in merged cells: of which row it is nobody can tell."""
    filled = {row.location for row in table.rows}
    for cells in merged:
        (first, top), (last, _) = (_position(corner) for corner in cells.split(":"))
        names = [name for name in table.names[first : last + 1] if name and name.startswith(MEASURED)]
        if top > head and names and f"{table.location}!{top}" in filled:
            reason = "are merged; write the value of each row and column in a cell of its own"
            raise UserError(f"{table.location}!{top}", names[0], f"the cells {cells} {reason}")


def _position(corner: str) -> tuple[int, int]:
    """Column from 0 and row from 1 of a cell such as B12."""
    letters = corner.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column - 1, int(corner[len(letters) :])


def _left_out(path: Path) -> str | None:
    """Why a workbook in a folder is passed over: it is none, or nobody filled it in."""
    try:
        tables = _known_tables(path)
    except BrokenWorkbook as error:
        return error.message
    return _EMPTY if tables and not any(True for table in tables for _ in table.measured()) else None


def _filled(path: Path) -> Iterator[LabRun]:
    found = list(runs(path))
    if not found:
        raise UserError(str(path), "", _EMPTY)
    yield from found


FORMATS = (
    Format(
        "a filled K-Perf workbook",
        WORKBOOK,
        lambda path: bool(_known_tables(path)),
        lambda path, _: _filled(path),
        lambda path, _: _left_out(path),
    ),
)


@remembered
def _said_to_be_predicted() -> frozenset[str]:
    """What the status of a predicted row is in any language."""
    return frozenset(speaker(language)(PREDICTED) for language in LANGUAGES)
