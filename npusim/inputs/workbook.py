"""Sheets of an Excel workbook, row by row, within limits; whatever is broken in it is one line with its sheet."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs.files import read_bytes

MOST_BYTES = 16 * 2**20
"""Size in bytes of the file, and of any of its parts once it is unpacked."""
_MOST_UNPACKED = 64 * 2**20
_MOST_PARTS = 500
_MOST_RATIO, _SMALL = 100, 2**20
"""No part that is larger than `_SMALL` bytes shrinks to less than a hundredth, unless it was made to."""
MOST_ROWS = 100_000

Cells = tuple[Any, ...]


def sheets(path: Path) -> Iterator[tuple[str, Iterator[tuple[int, Cells]]]]:
    """Title and numbered rows of each sheet, values as they were last computed. Raises UserError, also row by row."""
    content = read_bytes(path, MOST_BYTES)
    _check_archive(content, str(path))
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        pages = list(book.worksheets)
    except Exception as error:  # a library of many parsers: what any of them says of a damaged file
        raise _broken(str(path), error) from error
    try:
        for page in pages:
            yield page.title, _rows(f"{path}:{page.title}", page)
    finally:
        book.close()


def _rows(location: str, page: Any) -> Iterator[tuple[int, Cells]]:
    rows = page.iter_rows(values_only=True, max_row=MOST_ROWS + 1)
    number = 0
    while True:
        try:
            cells = next(rows, None)
        except Exception as error:  # as above: the sheet is parsed as it is read
            raise _broken(f"{location}!{number + 1}", error) from error
        if cells is None:
            return
        number += 1
        if number > MOST_ROWS:
            raise UserError(location, "", f"has more than {MOST_ROWS:,} rows; give the measuring table alone")
        yield number, cells


def _broken(location: str, error: Exception) -> UserError:
    return UserError(
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
        raise UserError(location, "", f"has {len(parts)} parts, or one of them twice; save it again as .xlsx")
    if sum(part.file_size for part in parts) > _MOST_UNPACKED:
        raise UserError(location, "", f"unpacks to more than {_MOST_UNPACKED // 2**20} MiB; give the results alone")
    for part in parts:
        if part.file_size > max(_SMALL, _MOST_RATIO * part.compress_size) or part.file_size > MOST_BYTES:
            what = f"unpacks from {part.compress_size:,} to {part.file_size:,} bytes"
            raise UserError(location, part.filename, f"{what}, which no table does; save it again as .xlsx")
