"""CSV text becomes a header and rows of as many cells, within limits; a broken one is one line with its number."""

from __future__ import annotations

import csv
import io

from npusim.errors import UserError

_MOST_ROWS, _MOST_COLUMNS = 1_000_000, 2_000

_Rows = list[tuple[int, list[str]]]
"""Line number and cells of each row."""


def csv_table(text: str, location: str, first: int = 1) -> tuple[list[str], _Rows]:
    """Header and rows of CSV text that starts at line `first` of the file `location`; blank rows are left out.

    Raises UserError for text that is cut, has no header, or whose columns have no names of their own.
    """
    rows = _rows(text, location, first)
    if not rows:
        raise UserError(location, "", "has no header line; give the file as the tool wrote it")
    (line, names), body = rows[0], rows[1:]
    header = [name.strip() for name in names]
    if len(header) > _MOST_COLUMNS:
        raise UserError(f"{location}:{line}", "", f"has more than {_MOST_COLUMNS:,} columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        what = f"the column '{twice[0]}' stands twice" if twice and twice[0] else "a column has no name"
        raise UserError(f"{location}:{line}", "", f"{what}; the header needs one name for each column")
    for number, row in body:
        if len(row) != len(header):
            what = f"has {len(row)} fields instead of {len(header)}; the row is cut or broken"
            raise UserError(f"{location}:{number}", "", what)
    return header, body


def _rows(text: str, location: str, first: int) -> _Rows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: _Rows = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num + first - 1, row))
            if len(rows) > _MOST_ROWS:
                raise UserError(location, "", f"has more than {_MOST_ROWS:,} rows; split it")
    except csv.Error as error:
        line = reader.line_num + first - 1
        raise UserError(f"{location}:{line}", "", f"is not a CSV file: {error}; it is cut or broken") from error
    return rows
