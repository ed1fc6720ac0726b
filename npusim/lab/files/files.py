"""Reading files that a lab hands over: text, CSV and JSON; a broken one is one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from npusim import inputs
from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs.csv_text import csv_table
from npusim.inputs.json_text import json_lines
from npusim.inputs.limits import MOST
from npusim.inputs.numbers import decimal

MOST_BYTES = 256 * 2**20
_MAY_BE_NEGATIVE = ("top_k",)
"""Settings whose makers write -1 for none."""


def read_lab_text(path: Path) -> str:
    """The file as UTF-8 text. Raises UserError where it cannot be read, is not text, or is empty."""
    text = inputs.read_text(path, MOST_BYTES)
    if not text.strip():
        raise UserError(str(path), "", "is empty; give the file as the tool wrote it")
    return text


@dataclass(frozen=True)
class Line:
    """One row of a CSV file. location: file and line; cells: text by column."""

    location: str
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "").strip()

    def has(self, column: str) -> bool:
        """Whether a cell holds more than a word for nothing."""
        return not is_empty(self[column])

    def reading(self, column: str, factor: float = 1.0) -> Reading:
        """The cell as a figure of zero or more, times `factor`. Raises UserError."""
        return reading(self.location, column, self[column], factor)

    def count(self, column: str) -> int:
        """The cell as a whole number of 1 or more. Raises UserError."""
        return count(self.location, column, self[column], 1)


_NOTHING = ("", "-", "–", "—", "n/a", "#n/a", "na", "n.a.", "none", "null", "tbd", "해당 없음", "없음", "미측정")


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing, or a word for nothing."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _NOTHING)


def reading(location: str, key: str, text: Any, factor: float = 1.0) -> Reading:
    """A figure of zero or more, times `factor`. Raises UserError."""
    try:
        found = Reading.printed(text, factor)
    except ValueError as error:
        raise UserError(location, key, f"{error}; give a measured value, or leave the row out") from error
    if found.value < 0.0:
        raise UserError(location, key, f"{text} is below zero; give a measured value")
    return found


def count(location: str, key: str, text: Any, least: int = 0, most: int = MOST) -> int:
    """A whole number from `least` to `most`. Raises UserError."""
    try:
        number = decimal(text)
    except ValueError as error:
        raise UserError(location, key, f"{error}; give a whole number") from error
    if number != number.to_integral_value() or number < least:
        raise UserError(location, key, f"'{text}' is no whole number of {least} or more")
    if number > most:
        raise UserError(location, key, f"{number:,.0f} is more than any run holds (at most {most:,})")
    return int(number)


def mapping(location: str, key: str, value: Any) -> dict[str, Any]:
    """An object, {} where it is missing. Raises UserError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(location, key, "must be an object; give the file as the tool wrote it")
    return value


def words(location: str, key: str, value: Any) -> str | None:
    """A text or a number as text, None where it is missing or blank. Raises UserError."""
    if isinstance(value, dict | list):
        raise UserError(location, key, "must be a text; give the file as the tool wrote it")
    return None if value is None else str(value).strip() or None


def no_negatives(location: str, found: Any, path: str = "") -> None:
    """Raises UserError for a number below zero: no harness counts, times or spreads anything that way."""
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            no_negatives(location, value, f"{path}.{key}".lstrip("."))
    elif isinstance(found, int | Decimal) and found < 0 and path.rpartition(".")[2] not in _MAY_BE_NEGATIVE:
        raise UserError(location, path, f"{found} is below zero; give the file as the tool wrote it")


def csv_lines(path: Path, text: str, first_line: int = 1) -> tuple[list[str], list[Line]]:
    """Header and rows of CSV text that starts at line `first_line` of `path`. Raises UserError for a broken one."""
    header, rows = csv_table(text, str(path), first_line)
    return header, [Line(f"{path}:{number}", dict(zip(header, row, strict=True))) for number, row in rows]


def json_objects(path: Path, text: str) -> list[dict[str, Any]]:
    """The objects of a JSON or JSON-lines file, numbers as they are printed (Decimal). Raises UserError."""
    found = json_lines(text, str(path))
    flat = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    if not flat or not all(isinstance(item, dict) for item in flat):
        raise UserError(str(path), "", "holds no JSON object; give a result file")
    return list(flat)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1."""
    return enumerate(text.splitlines(), start=1)
