"""Text from files (titles, names, reasons) made harmless where it is shown: it stays text and commands nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters but tab and line feed, marks that turn the direction of a line, and what is no character."""
_FORMULA = re.compile(r"^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
"""What begins a formula, in its full width too, as spreadsheets of East Asian languages read it."""
_CELL_ADDRESS = "!"


def printable(text: str) -> str:
    """`text` with each character that a terminal or a reader would obey written out, such as \\x1b."""
    return _COMMANDS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def chart_title(text: str) -> str:
    """`text` for a chart of a workbook, whose writer takes `=...!A1` and `...!A1` for the address of a cell."""
    return printable(text).replace(_CELL_ADDRESS, "\uff01").lstrip("=")


def printable_table(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with its text printable."""
    return _with_text(table, printable)


def spreadsheet_safe(table: pd.DataFrame) -> pd.DataFrame:
    """`table` for a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it.

    Names of columns are such text too.
    """
    return _with_text(table, _no_formula).rename(columns=lambda name: _no_formula(str(name)))


def _no_formula(text: str) -> str:
    return f"'{printable(text)}" if _FORMULA.match(text) else printable(text)


def _with_text(table: pd.DataFrame, shown: Callable[[str], str]) -> pd.DataFrame:
    texts = table.select_dtypes(exclude=["number", "bool"])
    made = {name: texts[name].map(lambda value: shown(value) if isinstance(value, str) else value) for name in texts}
    return table.assign(**{str(name): column for name, column in made.items()})
