"""The sheet of where the time of decode steps goes: the parts of each cell, and a stacked chart for each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from xlsxwriter.utility import quote_sheetname, xl_range_abs

from npusim.kperf.shares import TITLE, known_shares, present_parts, shape_names
from npusim.kperf.sheets import FOOTER, LINE_HEIGHT, Styles, landscape, write_frame
from npusim.kperf.table import Column

SHARES_SHEET = "Time shares"
_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#BFBFBF", "#F0E442")
_HEIGHT = 20
"""Rows that a chart covers."""


def write_shares(
    book: Any, sheet: Any, styles: Styles, shares: pd.DataFrame, titles: Mapping[str, str], projection: str
) -> None:
    """A table and a chart for each model. titles: of the models by their names; projection: what is said of a chip that
    does not exist yet, empty for one that does."""
    landscape(sheet, styles.say(FOOTER))
    sheet.write_string(0, 0, styles.say(TITLE), styles.title)
    sheet.write_string(1, 0, projection, styles(bold=True))
    line = 2
    for model, title in titles.items():
        told = known_shares(shares, model)
        if not told.empty:
            sheet.write_string(line, 0, title, styles.heading)
            line = _write_model(book, sheet, line + 1, styles, told)


def _write_model(book: Any, sheet: Any, line: int, styles: Styles, told: pd.DataFrame) -> int:
    """The chart and below it the table; the row after them."""
    parts = [Column(column, name, "", "0.0%", width=13) for column, name in present_parts(told)]
    columns = (
        Column("shape", "Input / output tokens", width=18),
        Column("users", "Users", "", "#,##0", width=10),
        *parts,
    )
    head = line + _HEIGHT
    sheet.set_row(head, 3 * LINE_HEIGHT)
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width)
    end = write_frame(sheet, head, columns, told.assign(shape=shape_names(told)), styles)
    chart = book.add_chart({"type": "column", "subtype": "percent_stacked"})
    place = quote_sheetname(sheet.get_name())
    for at, (item, colour) in enumerate(zip(parts, _COLOURS, strict=False), start=2):
        chart.add_series(
            {
                "name": item.label_in(styles.say),
                "categories": f"={place}!{xl_range_abs(head + 1, 0, end - 1, 1)}",
                "values": f"={place}!{xl_range_abs(head + 1, at, end - 1, at)}",
                "fill": {"color": colour},
                "gap": 30,
            }
        )
    chart.set_legend({"position": "top", "font": {"size": 9}})
    chart.set_x_axis({"num_font": {"size": 8, "rotation": -90}})
    chart.set_y_axis({"num_format": "0%", "num_font": {"size": 9}})
    chart.set_size({"width": 900, "height": 370})
    sheet.insert_chart(line, 0, chart, {"x_offset": 4, "y_offset": 4})
    return end + 1
