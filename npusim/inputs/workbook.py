"""Sheets of an Excel workbook, row by row, within limits; whatever is broken in it is one line with its sheet."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs.files import read_bytes

_MOST_BYTES = 16 * 2**20
"""Size in bytes of the file, and of any of its parts once it is unpacked."""
_MOST_UNPACKED = 64 * 2**20
_MOST_PARTS = 500
_MOST_RATIO, _SMALL = 100, 2**20
"""No part that is larger than `_SMALL` bytes shrinks to less than a hundredth, unless it was made to."""
_MOST_ROWS = 100_000

_MOST_COLUMNS = 2_000

Cells = tuple[Any, ...]


class BrokenWorkbook(UserError):
    """A file that is no whole workbook, or one that no table needs."""


class Uncomputed(str):
    """The formula of a cell whose value the file does not hold: it was written without being computed."""


@dataclass(frozen=True)
class Sheet:
    """title; hidden: whether it is shown; merged: its merged cells ("B12:B14"); rows: numbered, to be read once."""

    title: str
    hidden: bool
    merged: tuple[str, ...]
    rows: Iterator[tuple[int, Cells]]


def sheets(path: Path) -> Iterator[Sheet]:
    """Each sheet with its rows, values as they were last computed. Raises UserError, also row by row."""
    content = read_bytes(path, _MOST_BYTES)
    _check_archive(content, str(path))
    import openpyxl

    def opened(values: bool) -> Any:
        try:
            return openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=values)
        except Exception as error:  # a library of many parsers: what any of them says of a damaged file
            raise _broken(str(path), error) from error

    book, formulas = opened(True), opened(False)
    try:
        for page, same in zip(book.worksheets, formulas.worksheets, strict=True):
            text = _text_of(content, page, str(path))
            rows = _rows(f"{path}:{page.title}", page)
            if b"<f" in text:
                rows = _with_formulas(rows, _rows(f"{path}:{page.title}", same))
            merged = tuple(found.decode() for found in _MERGED.findall(text))
            yield Sheet(page.title, page.sheet_state != "visible", merged, rows)
    finally:
        book.close()
        formulas.close()


_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*ref="([A-Z]{1,3}\d+:[A-Z]{1,3}\d+)"')


def _text_of(content: bytes, page: Any, location: str) -> bytes:
    """The XML of a sheet."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(page._worksheet_path.lstrip("/"))
    except (KeyError, zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise _broken(f"{location}:{page.title}", error) from error


def _with_formulas(
    values: Iterator[tuple[int, Cells]], formulas: Iterator[tuple[int, Cells]]
) -> Iterator[tuple[int, Cells]]:
    """The rows, with the formula where a value was never computed."""
    for (number, row), (_, written) in zip(values, formulas, strict=False):
        yield (
            number,
            tuple(
                Uncomputed(formula) if value is None and formula is not None else value
                for value, formula in zip(row, written, strict=False)
            ),
        )


def _rows(location: str, page: Any) -> Iterator[tuple[int, Cells]]:
    page.reset_dimensions()  # what a file says of its own extent may be wrong, and cells beyond it would be lost
    rows = page.iter_rows(values_only=True, max_row=_MOST_ROWS + 1)
    number = 0
    while True:
        try:
            cells = next(rows, None)
        except Exception as error:  # as above: the sheet is parsed as it is read
            raise _broken(f"{location}!{number + 1}", error) from error
        if cells is None:
            return
        number += 1
        if number > _MOST_ROWS:
            raise BrokenWorkbook(location, "", f"has more than {_MOST_ROWS:,} rows; give the measuring table alone")
        if any(cell is not None for cell in cells[_MOST_COLUMNS:]):
            raise BrokenWorkbook(f"{location}!{number}", "", f"has more than {_MOST_COLUMNS:,} columns")
        yield number, cells[:_MOST_COLUMNS]


def _broken(location: str, error: Exception) -> BrokenWorkbook:
    return BrokenWorkbook(
        location, "", f"is no whole Excel workbook ({type(error).__name__}: {error}); save it again as .xlsx"
    )


def _check_archive(content: bytes, location: str) -> None:
    """Raises UserError for what is not an archive, or one that was made to fill the memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise _broken(location, error) from error
    if len(parts) > _MOST_PARTS or len({part.filename for part in parts}) < len(parts):
        raise BrokenWorkbook(location, "", f"has {len(parts)} parts, or one of them twice; save it again as .xlsx")
    if sum(part.file_size for part in parts) > _MOST_UNPACKED:
        raise BrokenWorkbook(
            location, "", f"unpacks to more than {_MOST_UNPACKED // 2**20} MiB; give the results alone"
        )
    for part in parts:
        if part.file_size > max(_SMALL, _MOST_RATIO * part.compress_size) or part.file_size > _MOST_BYTES:
            what = f"unpacks from {part.compress_size:,} to {part.file_size:,} bytes"
            raise BrokenWorkbook(location, part.filename, f"{what}, which no table does; save it again as .xlsx")
