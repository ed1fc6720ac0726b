"""Writes the sheet that a lab fills in (`measuring` says what is asked)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from npusim.kperf.measuring import ASKED, HEADINGS, MEASURING_COLUMNS, PREFILLED, SHAPE, AskedLine
from npusim.kperf.sheets import FOOTER, LINE_HEIGHT, Styles, landscape, write_frame
from npusim.kperf.table import KPerfContext
from npusim.words import Phrase

_FIRST_ASKED = 4
_NARROWEST = (30, 24, 30)
"""Characters of the first columns, which hold the conditions above the table."""
_HOW = Phrase(
    "Fill in the yellow cells; leave empty what was not measured or is not known. Numbers alone, in the unit of the "
    "heading, with a decimal point. `npusim check` reads this sheet and judges only what is filled in."
)


def write_measuring(sheet: Any, styles: Styles, rows: pd.DataFrame, context: KPerfContext) -> None:
    """The conditions to tell and a row to fill in for each cell of a model. rows: of that model, as predicted."""
    say, first = context.say, rows.iloc[0]
    landscape(sheet, styles.say(FOOTER))
    title = say("{model} on {chip}: measured values", model=first["model_title"], chip=context.chip_title)
    sheet.write_string(0, 0, title, styles.title)
    sheet.write_string(1, 0, _HOW.in_words_of(say), styles(font_color="#595959"))
    for at, heading in enumerate(HEADINGS):
        sheet.write_string(_FIRST_ASKED - 1, at, say(heading), styles.head)
    for line, asked in enumerate(ASKED, start=_FIRST_ASKED):
        _write_asked(sheet, line, styles, asked, first)
    head = _FIRST_ASKED + len(ASKED) + 2
    _write_table(sheet, head, styles, rows)
    sheet.set_row(head, 4 * LINE_HEIGHT)


def _write_asked(sheet: Any, line: int, styles: Styles, asked: AskedLine, first: pd.Series) -> None:
    say, predicted = styles.say, "" if not asked.column else str(first[asked.column])
    sheet.write_string(line, 0, say(asked.title), styles(bold=True, indent=1))
    empty = _empty(styles, align="left")
    if asked.name in PREFILLED:
        sheet.write_string(line, 1, predicted, empty)
    else:
        sheet.write_blank(line, 1, None, empty)
        sheet.write_string(line, 3, say(predicted), styles(font_color="#7F7F7F", indent=1))
    if asked.choices:
        sheet.write_string(line, 2, " | ".join(asked.choices), styles(font_color="#7F7F7F", indent=1))
        choice = {"validate": "list", "source": list(asked.choices), "error_type": "warning"}
        sheet.data_validation(line, 1, line, 1, choice)


def _write_table(sheet: Any, head: int, styles: Styles, rows: pd.DataFrame) -> None:
    last = write_frame(sheet, head, MEASURING_COLUMNS, rows[list(SHAPE)], styles) - 1
    for at, item in enumerate(MEASURING_COLUMNS):
        width = max(item.width, _NARROWEST[at]) if at < len(_NARROWEST) else item.width
        sheet.set_column(at, at, width)
        if item.name not in SHAPE:
            for line in range(head + 1, last + 1):
                sheet.write_blank(line, at, None, _empty(styles, num_format=item.number or "@"))
    sheet.freeze_panes(0, len(SHAPE))


def _empty(styles: Styles, **more: Any) -> Any:
    """A cell that waits for a value."""
    return styles(bg_color="#FFF2CC", border=1, border_color="#D9D9D9", **more)
