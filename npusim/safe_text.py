"""Text from files (titles, names, reasons) made harmless where it is shown: it stays text and commands nothing."""

from __future__ import annotations

import re

import pandas as pd

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters but tab and line feed, marks that turn the direction of a line, and what is no character."""
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_CELL_ADDRESS = "!"


def printable(text: str) -> str:
    """`text` with each character that a terminal or a reader would obey written out, such as \\x1b."""
    return _COMMANDS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def chart_title(text: str) -> str:
    """`text` for a chart of a workbook, whose writer takes `=...!A1` and `...!A1` for the address of a cell."""
    return printable(text).replace(_CELL_ADDRESS, "\uff01").lstrip("=")


def spreadsheet_safe(table: pd.DataFrame) -> pd.DataFrame:
    """`table` for a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    texts = {name: column for name, column in table.items() if not pd.api.types.is_numeric_dtype(column)}
    return table.assign(**{str(name): column.map(_as_text) for name, column in texts.items()})


def _as_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if _FORMULA.match(shown) else shown
