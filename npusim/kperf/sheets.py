"""What all sheets of a workbook share: formats, the set-up of a page for print, and tables."""

from __future__ import annotations

import contextlib
import datetime
import io
import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xlsxwriter

from npusim.kperf.table import Column
from npusim.safe_text import printable
from npusim.words import ENGLISH, Say, speaker

LINE_HEIGHT = 14.5
_LETTERS_PER_DIGIT = 1.1


@contextlib.contextmanager
def new_workbook(path: Path, title: str) -> Iterator[Any]:
    """A workbook that is written to `path` when the block ends well; the same sheets give the same bytes.

    Text in it stays text, whatever it begins with. It is made in memory: a full disk is met in one place.
    """
    content = io.BytesIO()
    as_text = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(content, {"in_memory": True, **as_text})
    book.set_properties({"title": printable(title), "created": datetime.datetime(1980, 1, 1)})
    yield book
    book.close()
    path.write_bytes(content.getvalue())


class Styles:
    """Formats of one workbook, each made once. say: translates into its language."""

    def __init__(self, book: Any, say: Say | None = None) -> None:
        self._book = book
        self.say = say or speaker(ENGLISH)
        self._made: dict[tuple[tuple[str, Any], ...], Any] = {}

    def __call__(self, **properties: Any) -> Any:
        key = tuple(sorted(properties.items()))
        if key not in self._made:
            base = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
            self._made[key] = self._book.add_format(base | properties)
        return self._made[key]

    @property
    def head(self) -> Any:
        border = {"border": 1, "border_color": "#8EA9DB"}
        return self(bold=True, text_wrap=True, bg_color="#D9E1F2", align="center", valign="vcenter", **border)

    @property
    def title(self) -> Any:
        return self(bold=True, font_size=16)

    @property
    def heading(self) -> Any:
        return self(bold=True, font_size=12)

    @property
    def text(self) -> Any:
        return self(align="left", indent=1)

    @property
    def wrapped(self) -> Any:
        return self(align="left", indent=1, text_wrap=True)


_A4 = 9
"""What spreadsheets call the paper."""


FOOTER = "prediction, not a measurement"
"""What every sheet of a prediction says at its foot."""


def landscape(sheet: Any, footer: str = FOOTER) -> None:
    """Sets up a sheet for print on A4, one page across, with a row for the title; footer: beside the file's name."""
    sheet.set_row(0, 24)
    sheet.hide_gridlines(2)
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer(f"&L&F: {footer}&C&A&R&P / &N")


def text_lines(text: str, characters: float) -> int:
    """Lines that a text takes in a cell as wide as so many digits: letters are narrower than digits."""
    room = _LETTERS_PER_DIGIT * characters
    return sum(math.ceil(max(half_widths(part), 1) / room) for part in text.split("\n"))


def half_widths(text: str) -> int:
    """How many Latin letters are as wide as a text: those of Korean are as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _number_format(pattern: str, value: float) -> str:
    """The pattern; for "SI", powers of a thousand where plain digits would be long."""
    if pattern != "SI":
        return pattern
    return "General" if value == 0 or 1e-3 <= abs(value) < 1e6 else "##0.0##E+0"


def write_frame(sheet: Any, row: int, columns: Sequence[Column], frame: pd.DataFrame, styles: Styles) -> int:
    """Writes head and rows of a table from `row` on, blank where a value is absent; the row after them."""
    for at, item in enumerate(columns):
        sheet.write_string(row, at, item.label_in(styles.say), styles.head)
    wanted = frame.reindex(columns=[item.name for item in columns])
    for line, record in enumerate(wanted.itertuples(index=False, name=None), start=row + 1):
        for at, (item, value) in enumerate(zip(columns, record, strict=True)):
            if pd.isna(value):
                continue
            if item.number:
                number = float(value)
                sheet.write_number(line, at, number, styles(num_format=_number_format(item.shown_as, number)))
            else:
                sheet.write_string(line, at, str(value), styles.text)
    return row + 1 + len(frame)
