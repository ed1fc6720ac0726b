"""The workbook of a comparison: a page to read, every cell, and what could not be predicted with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from xlsxwriter.utility import quote_sheetname, xl_range_abs

from npusim.kperf.charts import reach
from npusim.kperf.comparison import COLUMNS, MIDDLE, SCALES, chosen_cells, not_run
from npusim.kperf.comparison_chart import heading
from npusim.kperf.sheets import FOOTER, LINE_HEIGHT, Styles, landscape, new_workbook, text_lines, write_frame
from npusim.kperf.table import Column, KPerfContext
from npusim.kperf.workbook_record import write_manifest
from npusim.safe_text import printable
from npusim.words import Phrase

_TITLE = "K-Perf prediction: chips side by side"
_HOW = (
    Phrase(
        "PREDICTION, not a measurement. Each row is one cell of the grid under the same load: the users of one "
        "instance. A server is filled with instances alike, whose rates and users add up."
    ),
    Phrase(
        "Watts of the cards are predicted; a server's add what its description says of its host, the wall's are "
        "those over the efficiency of the power supplies. Blank: the description does not tell."
    ),
    Phrase(
        "Low and high: ends of the 90 % interval. Where two intervals overlap, the order of two chips is not decided."
    ),
    Phrase("A projection is a chip that does not exist yet; its numbers are announced or assumed."),
)
_GAPS = (
    Column("chip_title", "Chip", width=30),
    Column("model_title", "Model name", width=26),
    Column("cells", "Cells", "", "0", width=8),
    Column("status", "Reason, and what would do", width=120),
)


def write_comparison_workbook(rows: pd.DataFrame, manifest: dict[str, Any], context: KPerfContext, path: Path) -> None:
    """Writes the workbook of the rows that `compared` gives; the same input gives the same bytes."""
    say = context.say
    shown = rows.map(lambda value: printable(value) if isinstance(value, str) else value)
    words = {name: shown[name].map(say, na_action="ignore") for name in ("kind", "chip_title", "status")}
    failed, shown = not_run(shown), shown.assign(**words)
    with new_workbook(path, say(_TITLE)) as book:
        styles = Styles(book, say)
        _write_page(book, book.add_worksheet(say("Comparison")), styles, shown.assign(status=rows["status"]))
        _write_cells(book.add_worksheet(say("Cells")), styles, shown)
        told = failed.assign(**{name: failed[name].map(say) for name in ("chip_title", "status")})
        _write_gaps(book.add_worksheet(say("Not predicted")), styles, told)
        write_manifest(book.add_worksheet(say("Manifest")), styles, manifest, context)


def _write_page(book: Any, sheet: Any, styles: Styles, rows: pd.DataFrame) -> None:
    """How to read it, then for each model its chosen cell as a table and a chart a scale."""
    say = styles.say
    landscape(sheet, styles.say(FOOTER))
    for at, item in enumerate(MIDDLE):
        sheet.set_column(at, at, item.width)
    sheet.write_string(0, 0, say(_TITLE), styles.title)
    line = 1
    for phrase in _HOW:
        sheet.write_string(line, 0, phrase.in_words_of(say), styles.text)
        line += 1
    for _, own in chosen_cells(rows).groupby("model", sort=False):
        sheet.write_string(line + 1, 0, heading(own, say), styles.heading)
        sheet.set_row(line + 2, 4 * LINE_HEIGHT)
        end = write_frame(sheet, line + 2, MIDDLE, own, styles)
        line = _place_charts(book, sheet, (line + 3, end), own, styles)


def _place_charts(book: Any, sheet: Any, lines: tuple[int, int], rows: pd.DataFrame, styles: Styles) -> int:
    """A bar chart for each scale that some chip has; the row after them."""
    first, end = lines
    made = [chart for scale in SCALES if (chart := _chart(book, first, end, rows, scale.name, styles)) is not None]
    for index, chart in enumerate(made):
        down, right = divmod(index, 3)
        sheet.insert_chart(end + 1 + 15 * down, 0, chart, {"x_offset": 6 + 520 * right, "y_offset": 4})
    return end + 2 + 15 * ((len(made) + 2) // 3)


def _chart(book: Any, first: int, end: int, rows: pd.DataFrame, name: str, styles: Styles) -> Any | None:
    if not np.isfinite(rows[name].to_numpy(float)).any():
        return None
    columns = [item.name for item in MIDDLE]
    item = MIDDLE[columns.index(name)]

    def cells(column: str) -> str:
        at = columns.index(column)
        return f"={quote_sheetname(styles.say('Comparison'))}!{xl_range_abs(first, at, end - 1, at)}"

    series: dict[str, Any] = {"name": item.label_in(styles.say), "categories": cells("chip_title")}
    series |= {"values": cells(name), "fill": {"color": "#0072B2"}, "gap": 60}
    along = reach(rows, name)
    if along is not None:
        down, up = (np.nan_to_num(each).tolist() for each in along)
        series["x_error_bars"] = {"type": "custom", "minus_values": down, "plus_values": up}
    chart = book.add_chart({"type": "bar"})
    chart.add_series(series)
    chart.set_title({"name": item.label_in(styles.say), "name_font": {"size": 11}, "overlay": False})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "num_font": {"size": 9}})
    chart.set_x_axis(
        {"num_format": "#,##0.##", "label_position": "low", "major_gridlines": {"visible": True}, "min": 0}
    )
    chart.set_size({"width": 510, "height": 290})
    return chart


def _write_cells(sheet: Any, styles: Styles, rows: pd.DataFrame) -> None:
    landscape(sheet, styles.say(FOOTER))
    sheet.fit_to_pages(2, 0)
    sheet.write_string(0, 0, styles.say("Every cell, the chips of one beneath each other"), styles.title)
    sheet.set_row(1, 4 * LINE_HEIGHT)
    end = write_frame(sheet, 1, COLUMNS, rows, styles)
    for at, item in enumerate(COLUMNS):
        sheet.set_column(at, at, item.width, None, {"level": 1} if item.detail else {})
    sheet.autofilter(1, 0, end - 1, len(COLUMNS) - 1)
    sheet.freeze_panes(2, 5)
    sheet.repeat_rows(1, 1)


def _write_gaps(sheet: Any, styles: Styles, gaps: pd.DataFrame) -> None:
    landscape(sheet, styles.say(FOOTER))
    title = "Cells without a prediction" if len(gaps) else "Every cell was predicted"
    sheet.write_string(0, 0, styles.say(title), styles.title)
    if gaps.empty:
        return
    write_frame(sheet, 1, _GAPS, gaps, styles)
    for at, item in enumerate(_GAPS):
        sheet.set_column(at, at, item.width)
    _wrap(sheet, gaps["status"].tolist(), styles)


def _wrap(sheet: Any, reasons: Sequence[str], styles: Styles) -> None:
    """Reasons are sentences: as many lines as each takes."""
    last = len(_GAPS) - 1
    for line, reason in enumerate(reasons, start=2):
        sheet.write_string(line, last, reason, styles.wrapped)
        sheet.set_row(line, LINE_HEIGHT * text_lines(reason, _GAPS[last].width))
