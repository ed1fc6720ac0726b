"""The K-Perf workbook: what was predicted and how far to trust it, the tables, the assumptions, the manifest."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from npusim.kperf.charts import CHARTS, Table, native_chart, points
from npusim.kperf.table import (
    ACCURACY,
    HEADLINES,
    MISSING,
    PREDICTED,
    Column,
    KPerfContext,
    configuration_text,
    headlines,
    missing,
    model_names,
    of_model,
    predicted,
    shapes,
    sheet_columns,
    unique_names,
)

_OWN_SHEETS = ("Summary", "Assumptions", "Manifest", "History")
_FORBIDDEN = r"[\[\]:*?/\\']+"
_FIRST_ROW = 5
_KIND_COLOURS = {
    "assumed": "#F8CBAD",
    "calibrated": "#FFE699",
    "derived": "#DDEBF7",
    "datasheet": "#E2EFDA",
    "measured": "#C6E0B4",
}
_CERTIFICATE_COLUMNS = (
    Column("owner", "Description", width=22),
    Column("path", "Parameter", width=52),
    Column("text", "As written", width=18),
    Column("value", "Value (SI)", number="General", width=16),
    Column("unit", "SI unit", width=10),
    Column("kind", "Kind", width=12),
    Column("low", "Low (SI)", number="General", width=16),
    Column("high", "High (SI)", number="General", width=16),
    Column("spread", "Range / value", number="0%", width=10),
    Column("source", "Source", width=110),
)


class Styles:
    """Formats of one workbook, each made once."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._made: dict[tuple[tuple[str, Any], ...], Any] = {}

    def __call__(self, **properties: Any) -> Any:
        key = tuple(sorted(properties.items()))
        if key not in self._made:
            self._made[key] = self._book.add_format({"font_name": "Calibri", "font_size": 10} | properties)
        return self._made[key]

    @property
    def head(self) -> Any:
        return self(
            bold=True, text_wrap=True, bg_color="#D9E1F2", border=1, border_color="#8EA9DB", valign="vcenter"
        )

    @property
    def title(self) -> Any:
        return self(bold=True, font_size=16)

    @property
    def note(self) -> Any:
        return self(font_color="#595959")


def write_workbook(
    cells: pd.DataFrame,
    certificates: pd.DataFrame,
    manifest: dict[str, Any],
    context: KPerfContext,
    path: Path,
) -> None:
    """Writes the workbook to `path`. The same input gives the same bytes."""
    book = xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties(
        {"title": f"K-Perf prediction: {context.chip_title}", "created": datetime.datetime(1980, 1, 1)}
    )
    styles, models = Styles(book), model_names(cells)
    titles = [str(of_model(cells, model)["model_title"].iloc[0]) for model in models]
    sheets = unique_names(titles, _FORBIDDEN, 31, _OWN_SHEETS)
    chart_sheets = unique_names(
        [f"{name[:24]} charts" for name in sheets], _FORBIDDEN, 31, (*_OWN_SHEETS, *sheets)
    )
    tables = {
        model: Table(sheet, sheet_columns(of_model(cells, model)), _FIRST_ROW)
        for model, sheet in zip(models, sheets, strict=True)
    }
    drawable = [model for model in models if any(not points(of_model(cells, model), c).empty for c in CHARTS)]
    summary = book.add_worksheet("Summary")
    row = _write_summary(summary, styles, cells, certificates, context)
    if drawable:
        _place_charts(book, summary, row, of_model(cells, drawable[0]), tables[drawable[0]], context)
    else:
        summary.write_string(row, 0, "No charts: no cell was predicted.", styles(bold=True))
    for model in models:
        _write_model(
            book.add_worksheet(tables[model].sheet), styles, of_model(cells, model), tables[model], context
        )
        if model in drawable[1:]:
            sheet = book.add_worksheet(chart_sheets[models.index(model)])
            _landscape(sheet)
            sheet.write_string(
                0, 0, f"{configuration_text(of_model(cells, model))}: charts (prediction)", styles.title
            )
            _place_charts(book, sheet, 2, of_model(cells, model), tables[model], context)
    _write_assumptions(book.add_worksheet("Assumptions"), styles, certificates)
    _write_manifest(book.add_worksheet("Manifest"), styles, manifest)
    book.close()


def _landscape(sheet: Any) -> None:
    sheet.hide_gridlines(2)
    sheet.set_landscape()
    sheet.set_paper(8)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&F: prediction, not a measurement&C&A&R&P / &N")


def _write_frame(sheet: Any, row: int, columns: list[Column], frame: pd.DataFrame, styles: Styles) -> int:
    """Head and rows of a table from `row` on, blanks where a value is absent; the row after the last."""
    for at, item in enumerate(columns):
        sheet.write_string(row, at, item.label, styles.head)
    names = [item.name for item in columns]
    for line, record in enumerate(
        frame.reindex(columns=names).itertuples(index=False, name=None), start=row + 1
    ):
        for at, (item, value) in enumerate(zip(columns, record, strict=True)):
            if value is None or value != value:
                continue
            if item.number:
                sheet.write_number(line, at, float(value), styles(num_format=item.number))
            else:
                sheet.write_string(line, at, str(value), styles())
    return row + 1 + len(frame)


def _box(cells: pd.DataFrame, certificates: pd.DataFrame, context: KPerfContext) -> list[tuple[str, str]]:
    models = [of_model(cells, model) for model in model_names(cells)]
    scopes = ", ".join(str(scope) for scope in cells["power_scope"].dropna().unique()) or "card power"
    done, assumed = len(predicted(cells)), int((certificates["kind"] == "assumed").sum())
    grid = (
        f"{context.grid_name}: {len(shapes(cells))} shapes, {cells['users'].min():,} to {cells['users'].max():,} users, "
        f"{len(cells)} cells. K-Perf's official grid is not public: this grid is npusim's own choice "
        f"({context.grid_source})."
    )
    return [
        ("Chip", f"{context.chip_title}. {context.chip_note}".strip()),
        ("Models and cards", "\n".join(configuration_text(rows) for rows in models)),
        ("Grid", grid),
        ("Protocol", context.arrival_text),
        (
            "Predicted",
            f"{done} of {len(cells)} cells"
            + ("." if done == len(cells) else "; the others below, with reasons."),
        ),
        (
            "Scope of the watts",
            f"{scopes}: card power, not server or wall power. Tokens per joule follow from it.",
        ),
        ("Intervals", context.interval_text),
        ("Calibration", context.calibration_text),
        (
            "Assumptions",
            f"{assumed} of {len(certificates)} numbers in the descriptions are assumed, not published or measured: "
            "see the sheet Assumptions.",
        ),
        ("Accuracy", "Measured only: a performance simulator says nothing about a model's answers."),
    ]


def _write_summary(
    sheet: Any, styles: Styles, cells: pd.DataFrame, certificates: pd.DataFrame, context: KPerfContext
) -> int:
    """Title, box, headlines and what was not predicted; the row from which the charts may start."""
    _landscape(sheet)
    shown = headlines(cells)
    columns = [item for item in HEADLINES if shown[item.name].notna().any()]
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, max(len(columns) - 1, 12), 14)
    sheet.write_string(0, 0, f"K-Perf prediction: {context.chip_title}", styles.title)
    sheet.set_row(0, 24)
    warning = "PREDICTION, not a measurement."
    if not context.silicon:
        warning += " PROJECTION: this chip does not exist in silicon yet, so nothing here could be measured."
    band = styles(
        bold=True, font_size=12, bg_color="#FFE699", border=1, border_color="#BF8F00", valign="vcenter"
    )
    sheet.merge_range(1, 0, 1, 11, warning, band)
    sheet.set_row(1, 22)
    row = 2
    for label, text in _box(cells, certificates, context):
        sheet.write_string(row, 0, label, styles(bold=True, border=1, border_color="#BFBFBF", valign="top"))
        body = styles(text_wrap=True, border=1, border_color="#BFBFBF", valign="top")
        sheet.merge_range(row, 1, row, 11, text or "not stated", body)
        sheet.set_row(row, 14.5 * sum(math.ceil(max(len(part), 1) / 145) for part in text.split("\n")))
        row += 1
    sheet.write_string(row + 1, 0, "Each model in one line", styles(bold=True, font_size=12))
    sheet.set_row(row + 2, 54)
    row = _write_frame(sheet, row + 2, columns, shown, styles)
    gaps = missing(cells)
    if not gaps.empty:
        row = _write_missing(sheet, row + 1, styles, gaps)
    return row + 1


def _write_missing(sheet: Any, row: int, styles: Styles, gaps: pd.DataFrame) -> int:
    title = f"Not predicted: {gaps['cells'].sum()} cells"
    sheet.write_string(row, 0, title, styles(bold=True, font_size=12, font_color="#C00000"))
    row = _write_frame(sheet, row + 1, list(MISSING[:2]), gaps, styles)
    first = row - len(gaps)
    for start, end, item in ((2, 5, MISSING[2]), (6, 11, MISSING[3])):
        sheet.merge_range(first - 1, start, first - 1, end, item.label, styles.head)
        for line, text in enumerate(gaps[item.name], start=first):
            sheet.merge_range(line, start, line, end, text, styles(text_wrap=True, valign="top"))
    for line, (where, reason) in enumerate(zip(gaps["where"], gaps["reason"], strict=True), start=first):
        sheet.set_row(line, 14.5 * max(math.ceil(len(where) / 52), math.ceil(len(reason) / 78)))
    return row


def _place_charts(
    book: Any, sheet: Any, row: int, rows: pd.DataFrame, table: Table, context: KPerfContext
) -> None:
    drawn = [
        made for chart in CHARTS if (made := native_chart(book, chart, rows, table, context)) is not None
    ]
    for place, made in enumerate(drawn):
        sheet.insert_chart(row + 21 * (place // 2), 0, made, {"x_offset": 740 * (place % 2), "y_offset": 4})


def _write_model(sheet: Any, styles: Styles, rows: pd.DataFrame, table: Table, context: KPerfContext) -> None:
    _landscape(sheet)
    sheet.fit_to_pages(2, 0)
    title = f"{rows['model_title'].iloc[0]} on {context.chip_title}: predicted K-Perf measuring table"
    sheet.write_string(0, 0, title, styles.title)
    sheet.write_string(
        1, 0, f"{configuration_text(rows)}. {context.arrival_text} {context.interval_text}", styles.note
    )
    sheet.write_string(2, 0, _LEGEND, styles.note)
    _write_groups(sheet, styles, table.columns)
    sheet.set_row(_FIRST_ROW - 1, 54)
    last = _write_frame(sheet, _FIRST_ROW - 1, table.columns, rows, styles) - 1
    grey = styles(font_color="#A6A6A6", italic=True)
    for at, item in enumerate(table.columns):
        sheet.set_column(at, at, item.width, None, {"level": 1} if item.detail else {})
        if item.group == ACCURACY:
            for line in range(_FIRST_ROW, last + 1):
                sheet.write_string(line, at, "measured only", grey)
    sheet.outline_settings(True, True, False, False)
    sheet.autofilter(_FIRST_ROW - 1, 0, last, len(table.columns) - 1)
    sheet.freeze_panes(_FIRST_ROW, 3)
    sheet.repeat_rows(_FIRST_ROW - 2, _FIRST_ROW - 1)
    sheet.repeat_columns(0, 2)
    _mark(sheet, styles, table.columns, last)


_LEGEND = (
    "Grey row: not predicted, the reason stands under Status. Orange: requests pre-empted or refused, or fewer users in "
    "service at once than asked for. Bold green: best of the column. Percentiles can be folded away above the columns."
)


def _write_groups(sheet: Any, styles: Styles, columns: list[Column]) -> None:
    band = styles(
        bold=True, align="center", bg_color="#305496", font_color="#FFFFFF", border=1, border_color="#8EA9DB"
    )
    start = 0
    for at, item in enumerate(columns):
        if at + 1 < len(columns) and columns[at + 1].group == item.group:
            continue
        if at > start:
            sheet.merge_range(_FIRST_ROW - 2, start, _FIRST_ROW - 2, at, item.group, band)
        else:
            sheet.write_string(_FIRST_ROW - 2, at, item.group, band)
        start = at + 1


def _mark(sheet: Any, styles: Styles, columns: list[Column], last: int) -> None:
    """Conditional formats: rows not predicted, load that the chip could not take, and the best of a column."""
    at = {item.name: place for place, item in enumerate(columns)}
    letter = {name: xl_col_to_name(place, True) for name, place in at.items()}
    line = _FIRST_ROW + 1

    def rule(first: int, final: int, criteria: dict[str, Any]) -> None:
        sheet.conditional_format(_FIRST_ROW, first, last, final, criteria)

    absent = styles(font_color="#7F7F7F", italic=True, bg_color="#EDEDED")
    strained, best = styles(bg_color="#F8CBAD"), styles(bold=True, font_color="#00682F")
    formula = f'=${letter["status"].strip("$")}{line}<>"{PREDICTED}"'
    rule(0, len(columns) - 1, {"type": "formula", "criteria": formula, "format": absent})
    for name in ("preemptions", "refused"):
        rule(at[name], at[name], {"type": "cell", "criteria": ">", "value": 0, "format": strained})
    service, users = letter["users_in_service"], letter["users"]
    formula = f"=AND(ISNUMBER({service}{line}),{service}{line}<{users}{line})"
    rule(
        at["users_in_service"],
        at["users_in_service"],
        {"type": "formula", "criteria": formula, "format": strained},
    )
    for name in ("output_tokens_per_s", "total_tokens_per_s", "tokens_per_joule"):
        rule(at[name], at[name], {"type": "top", "value": 1, "format": best})


def _write_assumptions(sheet: Any, styles: Styles, certificates: pd.DataFrame) -> None:
    _landscape(sheet)
    order = {kind: place for place, kind in enumerate(_KIND_COLOURS)}
    frame = certificates.sort_values(
        "kind", key=lambda kinds: kinds.map(order), kind="stable", ignore_index=True
    )
    value = frame["value"].astype(float).abs()
    width = (frame["high"].astype(float) - frame["low"].astype(float)) / value.where(value > 0)
    frame = frame.assign(spread=width)
    counts = {kind: int((frame["kind"] == kind).sum()) for kind in order}
    sheet.write_string(0, 0, "Every number that the prediction rests on", styles.title)
    sheet.write_string(
        1,
        0,
        f"{counts['assumed']} of {len(frame)} are assumed (first, with the range in which the truth is believed to lie); "
        + ", ".join(f"{number} {kind}" for kind, number in counts.items() if kind != "assumed")
        + ".",
        styles(bold=True),
    )
    columns = list(_CERTIFICATE_COLUMNS)
    sheet.set_row(3, 28)
    last = _write_frame(sheet, 3, columns, frame, styles) - 1
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width)
    kind_at = next(at for at, item in enumerate(columns) if item.name == "kind")
    for line, kind in enumerate(frame["kind"], start=4):
        sheet.write_string(line, kind_at, kind, styles(bg_color=_KIND_COLOURS[kind]))
    sheet.autofilter(3, 0, max(last, 3), len(columns) - 1)
    sheet.freeze_panes(4, 2)
    sheet.repeat_rows(3)


def _write_manifest(sheet: Any, styles: Styles, manifest: dict[str, Any]) -> None:
    _landscape(sheet)
    columns = [Column("key", "Key", width=48), Column("value", "Value", width=110)]
    frame = pd.DataFrame(list(_flat(manifest)), columns=["key", "value"])
    sheet.write_string(0, 0, "What made this prediction: enough to repeat it", styles.title)
    _write_frame(sheet, 2, columns, frame, styles)
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width)
    sheet.freeze_panes(3, 1)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{place}]")
    else:
        yield key, "" if value is None else str(value)
