"""Reading files that a lab hands over: text, CSV and JSON; a broken one is one clear line."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from npusim import inputs
from npusim.bounds.reading import Reading
from npusim.errors import UserError

MOST_BYTES = 512 * 2**20
MOST_COUNT = 10**7
"""Requests, users or tokens of one request beyond which a file promises what no run holds."""


def read_text(path: Path) -> str:
    """The file as UTF-8 text. Raises UserError where it cannot be read, is no text, or is empty."""
    text = inputs.read_text(path, MOST_BYTES)
    if not text.strip():
        raise UserError(str(path), "", "is empty; give the file as the tool wrote it")
    return text


@dataclass(frozen=True)
class Line:
    """One row of a CSV file. place: file and line; cells: text by column."""

    place: str
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "").strip()

    def has(self, column: str) -> bool:
        return self[column] != ""

    def reading(self, column: str, factor: float = 1.0) -> Reading:
        """The cell as a figure of zero or more, times `factor`. Raises UserError."""
        return reading(self.place, column, self[column], factor)

    def count(self, column: str) -> int:
        """The cell as a whole number of 1 or more. Raises UserError."""
        return count(self.place, column, self[column], 1)


def reading(place: str, key: str, text: Any, factor: float = 1.0) -> Reading:
    """A figure of zero or more, times `factor`. Raises UserError."""
    try:
        if isinstance(text, bool) or text is None:
            raise ValueError(f"'{text}' is no number")
        found = Reading.printed(text, factor)
    except ValueError as error:
        raise UserError(place, key, f"{error}; give a measured value, or leave the row out") from error
    if found.value < 0.0:
        raise UserError(place, key, f"{text} is below zero; give a measured value")
    return found


def count(place: str, key: str, text: Any, least: int = 0) -> int:
    """A whole number from `least` to MOST_COUNT. Raises UserError."""
    try:
        number = float(text)
    except (TypeError, ValueError) as error:
        raise UserError(place, key, f"'{text}' is no whole number") from error
    if not math.isfinite(number) or number != int(number) or number < least:
        raise UserError(place, key, f"'{text}' is no whole number of {least} or more")
    if number > MOST_COUNT:
        raise UserError(place, key, f"{int(number):,} is more than any run holds (at most {MOST_COUNT:,})")
    return int(number)


def csv_lines(path: Path, text: str, first_line: int = 1) -> tuple[list[str], list[Line]]:
    """Header and rows of CSV text that starts at line `first_line` of `path`. Raises UserError for a broken one."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num + first_line - 1, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num + first_line - 1}", "", f"is broken CSV ({error})") from error
    if not rows:
        raise UserError(str(path), "", "has no header line; give the file as the tool wrote it")
    header = [name.strip() for name in rows[0][1]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        what = f"the column '{twice[0]}' stands twice" if twice else "a column has no name"
        raise UserError(f"{path}:{rows[0][0]}", "", f"{what}; each column needs a name of its own")
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise UserError(
                f"{path}:{number}", "", f"has {len(row)} fields instead of {len(header)}; the row is cut or broken"
            )
    return header, [Line(f"{path}:{number}", dict(zip(header, row, strict=True))) for number, row in rows[1:]]


def json_objects(path: Path, text: str) -> list[dict[str, Any]]:
    """The objects of a JSON or JSON-lines file, numbers as they are printed (Decimal). Raises UserError."""
    try:
        return _objects(path, [_load(text)])
    except json.JSONDecodeError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return _objects(path, [_load(line) for line in lines])
        except json.JSONDecodeError:
            mend = "it is cut or broken; give the file as the tool wrote it"
            raise UserError(f"{path}:{whole.lineno}", "", f"is no JSON ({whole.msg}); {mend}") from whole


def _load(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_once)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError("JSON", twice, "the key stands twice in one object; keep one")
    return found


def _objects(path: Path, found: list[Any]) -> list[dict[str, Any]]:
    flat = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    if not flat or not all(isinstance(item, dict) for item in flat):
        raise UserError(str(path), "", "holds no JSON object; give a result file")
    return list(flat)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1."""
    return enumerate(text.splitlines(), start=1)
