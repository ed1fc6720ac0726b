"""The workbook of fleets: the plan, the day, what decides, every number of the profile, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from xlsxwriter.utility import quote_sheetname, xl_range_abs

from npusim.explore.fleet.option import FleetOption
from npusim.explore.fleet.table import COLUMNS, DAY, DECIDING, day_table, deciding_table, fleet_table
from npusim.kperf.sheets import LINE_HEIGHT, Styles, landscape, new_workbook, write_frame
from npusim.kperf.table import Column
from npusim.kperf.workbook_record import PROVENANCE_COLUMNS, flat_rows
from npusim.ledger import provenances
from npusim.safe_text import printable
from npusim.words import Say
from npusim.workload.profile import Profile

_TITLE = "Capacity plan"
_HEAD_LINES = 4


def write_fleet_workbook(
    options: Sequence[FleetOption], profile: Profile, manifest: Mapping[str, Any], say: Say, path: Path
) -> None:
    """Writes the workbook; the same input gives the same bytes."""
    with new_workbook(path, say(_TITLE)) as book:
        styles = Styles(book, say)
        _sheet(book, say("Plan"), say(_TITLE), COLUMNS, fleet_table(options, say), styles)
        sheet = _sheet(book, say("Day"), say("The day, hour by hour"), DAY, day_table(options), styles)
        _day_charts(book, sheet, [each for each in options if each.day is not None], styles)
        deciding = _spoken(deciding_table(options), say)
        _sheet(book, say("Deciding"), say("The assumptions that move servers most"), DECIDING, deciding, styles)
        numbers = pd.DataFrame(
            [
                {"owner": each.owner, "path": each.path, **vars(each.quantity)}
                for each in provenances(profile.name, profile)
            ]
        )
        _sheet(
            book, say("Profile"), say("Every number of the profile"), PROVENANCE_COLUMNS, _spoken(numbers, say), styles
        )
        keys = (Column("key", "Key", width=60), Column("value", "Value", width=120))
        made = pd.DataFrame(list(flat_rows(dict(manifest))), columns=["key", "value"])
        _sheet(book, say("Manifest"), say("What made this prediction: enough to repeat it"), keys, made, styles)


def _spoken(frame: pd.DataFrame, say: Say) -> pd.DataFrame:
    """Words of kinds, states and meanings in the reader's language."""
    names = [name for name in ("kind", "meaning", "source") if name in frame]
    return frame.assign(
        **{name: [say(text) if isinstance(text, str) else text for text in frame[name]] for name in names}
    )


def _sheet(book: Any, name: str, title: str, columns: Sequence[Column], frame: pd.DataFrame, styles: Styles) -> Any:
    """A sheet with one table under its title."""
    sheet = book.add_worksheet(name)
    landscape(sheet)
    sheet.write_string(0, 0, title, styles.title)
    sheet.set_row(1, _HEAD_LINES * LINE_HEIGHT)
    shown = frame.map(lambda value: printable(value) if isinstance(value, str) else value)
    end = write_frame(sheet, 1, columns, shown, styles)
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width, None, {"level": 1} if item.detail else {})
    if end > 2:
        sheet.autofilter(1, 0, end - 1, len(columns) - 1)
    sheet.freeze_panes(2, 1)
    sheet.repeat_rows(1, 1)
    return sheet


def _day_charts(book: Any, sheet: Any, options: Sequence[FleetOption], styles: Styles) -> None:
    """Tokens a second and watts over the day, a line an architecture."""
    names = [item.name for item in DAY]
    for place, name in enumerate(("tokens_per_s", "kw_card", "kw_wall")):
        item = DAY[names.index(name)]
        chart = book.add_chart({"type": "line"})
        first = 2
        for option in options:
            assert option.day is not None
            last = first + len(option.day.kw_card) - 1
            cells = {
                key: _cells(sheet.get_name(), first, last, names.index(column))
                for key, column in (("categories", "hour"), ("values", name))
            }
            chart.add_series({"name": printable(option.title), **cells})
            first = last + 1
        chart.set_title({"name": item.label_in(styles.say), "name_font": {"size": 11}, "overlay": False})
        chart.set_x_axis({"name": DAY[1].label_in(styles.say)})
        chart.set_y_axis({"num_format": "#,##0", "min": 0})
        chart.set_size({"width": 620, "height": 300})
        if options:
            sheet.insert_chart(1 + 16 * place, len(DAY) + 1, chart)


def _cells(sheet: str, first: int, last: int, column: int) -> str:
    return f"={quote_sheetname(sheet)}!{xl_range_abs(first, column, last, column)}"
