"""Reading a measured table: its kind is known by its columns; a broken one is one clear line."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from npusim.errors import UserError
from npusim.inputs import read_text

_OTHERS = {
    "power of single operators (evidence for parameters)": "case power_w sm_clock_mhz tflops",
    "micro-measurements as published (evidence for parameters)": "group kind conditions metric value unit",
}
"""Columns of tables that are known and not validated."""


class Unrepresentable(Exception):
    """A row that cannot be predicted; its text is the reason."""


@dataclass(frozen=True)
class Row:
    """One data row as text. index: 0-based; place: file and line, for messages."""

    index: int
    place: str
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """The cell without blanks around it, "" where it is empty or the table lacks the column."""
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float:
        """An input as a number. Raises Unrepresentable where it is blank or is none."""
        text = self.text(column)
        if not text:
            raise Unrepresentable(f"{column} is not given")
        value = _number(text)
        if value is None:
            raise Unrepresentable(f"{column} '{text}' is no number")
        return value

    def count(self, column: str) -> int:
        """An input as a whole number of 1 or more. Raises Unrepresentable."""
        value = self.number(column)
        if value != round(value) or value < 1:
            raise Unrepresentable(f"{column} {value:g} is no whole number of 1 or more")
        return round(value)

    def size(self, column: str) -> int:
        """An input as a whole number of 0 or more, 0 where it is blank. Raises Unrepresentable."""
        return self.count(column) if self.text(column) and self.number(column) != 0.0 else 0

    def measured(self, column: str) -> float | None:
        """A measured figure, None where there is none. Raises UserError where it is no number above zero."""
        text = self.text(column)
        if not text:
            return None
        value = _number(text)
        if value is None or value <= 0.0:
            raise UserError(self.place, column, f"'{text}' is no measured value; give a number above zero")
        return value


@dataclass(frozen=True)
class MeasuredTable:
    """A measured table. kind: its name; chip: what its column `chip` names most often, "" without that column."""

    kind: str
    path: Path
    frame: pd.DataFrame
    chip: str

    def rows(self) -> Iterator[Row]:
        for index, cells in enumerate(self.frame.to_dict("records")):
            yield Row(index, f"{self.path}:{cells.pop('')}", {str(name): text for name, text in cells.items()})


def read_table(path: Path, kinds: Mapping[str, str]) -> MeasuredTable:
    """Read a CSV file of one of `kinds`, the columns of each by its name.

    Raises UserError for a file that is empty, broken, or of no kind that can be validated.
    """
    header, records = _records(path)
    kind = _kind(path, set(header), kinds)
    frame = pd.DataFrame(records, columns=["", *header], dtype=str)
    chips = Counter(frame["chip"].str.strip()) if "chip" in header else Counter([""])
    return MeasuredTable(kind, path, frame, chips.most_common(1)[0][0])


def _records(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header, and every data row with its line number before it."""
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        rows = [[str(reader.line_num), *row] for row in reader if row]
    except csv.Error as error:
        raise UserError(str(path), "", f"is not a CSV file of UTF-8 text ({error})") from error
    if len(rows) < 2:
        raise UserError(str(path), "", "has no data rows; give a header line and at least one row")
    header = [name.strip() for name in rows[0][1:]]
    if len(set(header)) < len(header) or "" in header:
        raise UserError(f"{path}:1", "", "the header needs one name for each column, each of them once")
    for row in rows[1:]:
        if len(row) != len(rows[0]):
            raise UserError(
                f"{path}:{row[0]}", "", f"has {len(row) - 1} fields instead of {len(header)}; the row is cut or broken"
            )
    return header, rows[1:]


def _kind(path: Path, columns: set[str], kinds: Mapping[str, str]) -> str:
    """The kind of which the table has all columns; of several, that which asks for most."""
    fitting = [kind for kind, wanted in kinds.items() if columns.issuperset(wanted.split())]
    if fitting:
        return max(fitting, key=lambda kind: len(kinds[kind].split()))
    known = f"known kinds: {', '.join(kinds)}"
    for what, wanted in _OTHERS.items():
        if columns.issuperset(wanted.split()):
            raise UserError(str(path), "", f"this is a table of {what}, which this command does not validate; {known}")
    nearest = min(kinds, key=lambda kind: _missing_share(kinds[kind].split(), columns))
    missing = [name for name in kinds[nearest].split() if name not in columns]
    raise UserError(
        str(path),
        "",
        f"its columns are those of no kind of table; the nearest, {nearest}, also has {', '.join(missing)}; {known}",
    )


def _missing_share(wanted: list[str], columns: set[str]) -> float:
    return sum(name not in columns for name in wanted) / len(wanted)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
