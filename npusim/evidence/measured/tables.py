"""Reading a measured table: its kind is known by its columns; a broken one is one clear line."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from npusim.errors import UserError
from npusim.inputs import read_text
from npusim.inputs.csv_text import csv_table
from npusim.inputs.limits import MOST, MOST_BATCH, MOST_REQUESTS, MOST_USERS
from npusim.inputs.numbers import plain

_OTHERS = {
    "power of single operators (evidence for parameters)": "case power_w sm_clock_mhz tflops",
    "micro-measurements as published (evidence for parameters)": "group kind conditions metric value unit",
}
"""Columns of tables that are known and not validated."""


_FEW = 0.1
"""Part of a column that may be words where the rest are numbers."""
_DAMAGED = re.compile(r"[-+]?(nan|inf|infinity)|true|false|[-+=@.]*[0-9].*")

_UNKNOWN = frozenset(["-", "--", "?", "n/a", "na", "none", "null", "unknown", "short", "auto"])
"""Words of a source for what it does not give as a number."""
_MANY = 5
"""Cells of a column from which on one that differs from all others is odd."""


_LEAST, _MOST = 1e-12, 1e15
"""No measured figure is less or more, in whatever unit."""


_BATCHES = ("batch", "decode_batch", "batch_size")
_MOST_BYTES = 2**50
_MOST_OF = {"concurrency": MOST_USERS, "requests": MOST_REQUESTS, "bytes": _MOST_BYTES, "elements": _MOST_BYTES}
_MOST_OF |= dict.fromkeys(_BATCHES, MOST_BATCH)


class Unrepresentable(Exception):
    """A row that cannot be predicted; its text is the reason."""


@dataclass(frozen=True)
class Row:
    """One data row as text. index: 0-based; location: file and line, for messages."""

    index: int
    location: str
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """The cell without blanks around it, "" where it is empty or the table lacks the column."""
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float:
        """An input as a number. Raises Unrepresentable where it is blank or is none."""
        text = self.text(column)
        if not text:
            raise Unrepresentable(f"{column} is not given")
        value = plain(text)
        if value is None:
            raise Unrepresentable(f"{column} '{text}' is no number")
        if value > _MOST_OF.get(column, _MOST):
            raise Unrepresentable(f"{column} {text} is more than can be simulated")
        return value

    def count(self, column: str) -> int:
        """An input as a whole number of 1 or more. Raises Unrepresentable."""
        value, most = self.number(column), _MOST_OF.get(column, MOST)
        if not 1 <= value <= most or value != round(value):
            raise Unrepresentable(f"{column} {value:g} is no whole number of 1 to {most:,}")
        return round(value)

    def size(self, column: str) -> int:
        """An input as a whole number of 0 or more, 0 where it is blank. Raises Unrepresentable."""
        return self.count(column) if self.text(column) and self.number(column) != 0.0 else 0

    def measured(self, column: str) -> float | None:
        """A measured figure, None where there is none. Raises UserError where it is not a number above zero."""
        text = self.text(column)
        if not text:
            return None
        value = plain(text)
        if value is None or not _LEAST <= value <= _MOST:
            raise UserError(self.location, column, f"'{text}' is no measured value; give a number above zero")
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
    header, rows = csv_table(read_text(path), str(path))
    if not rows:
        raise UserError(str(path), "", "has no data rows; give a header line and at least one row")
    kind = _kind(path, set(header), kinds)
    metric = header.index("metric") if "metric" in header else None
    for index, name in enumerate(header):
        alike: dict[str, list[tuple[int, str]]] = {}
        for line, cells in rows:
            of = cells[metric] if metric is not None and name == "value" else ""
            alike.setdefault(of, []).append((line, cells[index].strip()))
        for numbers in alike.values():
            _check_numbers(path, name, numbers)
    frame = pd.DataFrame([[str(line), *cells] for line, cells in rows], columns=["", *header], dtype=str)
    chips = Counter(frame["chip"].str.strip()) if "chip" in header else Counter([""])
    return MeasuredTable(kind, path, frame, chips.most_common(1)[0][0])


def _check_numbers(path: Path, column: str, cells: list[tuple[int, str]]) -> None:
    """Raises UserError for a damaged number in a column of numbers, whether the column is read or not.

    Words are left to those who read the column; of one that does not say that something is unknown, and of a number
    that alone is below zero, the user is told.
    """
    told = [(line, text) for line, text in cells if text]
    others = [(line, text) for line, text in told if plain(text) is None]
    for line, text in others:
        if text.startswith("=") and _DAMAGED.fullmatch(text.lower()):
            raise UserError(f"{path}:{line}", column, f"'{text}' is a formula; write the number that it gives")
    if len(others) > max(1.0, _FEW * len(told)) or len(told) - len(others) < 2:
        return
    for line, text in others:
        if _DAMAGED.fullmatch(text.lower()):
            raise UserError(f"{path}:{line}", column, f"'{text}' is no finite number, as the column's others are")
        if text.lower() not in _UNKNOWN:
            _warn_of(path, line, column, f"'{text}' is among numbers and is not read as one")
    below = [(line, text) for line, text in told if (plain(text) or 0.0) < 0.0]
    if len(below) == 1 and len(told) >= _MANY:
        _warn_of(path, below[0][0], column, f"{below[0][1]} alone is below zero")


def _warn_of(path: Path, line: int, column: str, what: str) -> None:
    warnings.warn(f"{path}:{line}: {column}: {what}; check the cell", stacklevel=2)


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
