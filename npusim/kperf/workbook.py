"""The K-Perf workbook: what was predicted, how far to trust it, the tables, assumptions and manifest."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
_BOX_COLUMNS = 12
_CHARTS_ACROSS = 3
_LINE_HEIGHT = 14.5
_LETTERS_PER_DIGIT = 1.1
_PAGE_CHARACTERS = 230
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
    Column("value", "Value (SI)", number="SI", width=14),
    Column("unit", "SI unit", width=10),
    Column("kind", "Kind", width=12),
    Column("low", "Low (SI)", number="SI", width=14),
    Column("high", "High (SI)", number="SI", width=14),
    Column("spread", "Range / value", number="0%", width=10),
    Column("source", "Source", width=110),
)
_LEGEND = (
    "Grey row: not predicted, the reason stands under Status. Orange: requests pre-empted or refused, or "
    "fewer users in service at once than asked for. Bold green: best of the column. Percentiles and ranges "
    "fold away above the columns."
)


class Styles:
    """Formats of one workbook, each made once."""

    def __init__(self, book: Any) -> None:
        self._book = book
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


@dataclass(frozen=True, eq=False)
class _Part:
    """One model's rows, where they stand in the workbook, and the name of the sheet for its charts."""

    rows: pd.DataFrame
    table: Table
    chart_sheet: str

    @property
    def drawable(self) -> bool:
        return any(not points(self.rows, chart).empty for chart in CHARTS)


def write_workbook(
    cells: pd.DataFrame,
    certificates: pd.DataFrame,
    manifest: dict[str, Any],
    context: KPerfContext,
    path: Path,
) -> None:
    """Writes the workbook to `path`; the same input gives the same bytes. Arguments as for `publish`."""
    book = xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False})
    title = f"K-Perf prediction: {context.chip_title}"
    book.set_properties({"title": title, "created": datetime.datetime(1980, 1, 1)})
    styles, parts = Styles(book), _parts(cells)
    summary = book.add_worksheet("Summary")
    row = _write_summary(summary, styles, cells, certificates, context)
    drawn = [part for part in parts if part.drawable]
    if drawn:
        summary.write_string(row, 0, f"Charts: {drawn[0].rows['model_title'].iloc[0]}", styles.heading)
        _place_charts(book, summary, row + 1, drawn[0], context)
    else:
        summary.write_string(row, 0, "No charts: no cell was predicted.", styles.heading)
    for part in parts:
        _write_model(book.add_worksheet(part.table.sheet), styles, part, context)
        if part in drawn[1:]:
            sheet = book.add_worksheet(part.chart_sheet)
            _landscape(sheet)
            sheet.write_string(0, 0, f"{configuration_text(part.rows)}: charts (prediction)", styles.title)
            sheet.write_string(1, 0, context.projection_text, styles(bold=True))
            _place_charts(book, sheet, 2, part, context)
    _write_assumptions(book.add_worksheet("Assumptions"), styles, certificates, context)
    _write_manifest(book.add_worksheet("Manifest"), styles, manifest, context)
    book.close()


def _parts(cells: pd.DataFrame) -> list[_Part]:
    every = [of_model(cells, model) for model in model_names(cells)]
    sheets = unique_names([str(rows["model_title"].iloc[0]) for rows in every], _FORBIDDEN, 31, _OWN_SHEETS)
    wanted = [f"{name[:24]} charts" for name in sheets]
    chart_sheets = unique_names(wanted, _FORBIDDEN, 31, (*_OWN_SHEETS, *sheets))
    return [
        _Part(rows, Table(sheet, sheet_columns(rows), _FIRST_ROW), chart_sheet)
        for rows, sheet, chart_sheet in zip(every, sheets, chart_sheets, strict=True)
    ]


def _landscape(sheet: Any) -> None:
    """Sets up a sheet for print on A3, one page across, with a row for the title."""
    sheet.set_row(0, 24)
    sheet.hide_gridlines(2)
    sheet.set_landscape()
    sheet.set_paper(8)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&F: prediction, not a measurement&C&A&R&P / &N")


def _lines(text: str, characters: float) -> int:
    """Lines that a text takes in a cell as wide as so many digits: letters are narrower than digits."""
    return sum(math.ceil(max(len(part), 1) / (_LETTERS_PER_DIGIT * characters)) for part in text.split("\n"))


def _number_format(pattern: str, value: float) -> str:
    """The pattern; for "SI", powers of a thousand where plain digits would be long."""
    if pattern != "SI":
        return pattern
    return "General" if value == 0 or 1e-3 <= abs(value) < 1e6 else "##0.0##E+0"


def _write_frame(sheet: Any, row: int, columns: Sequence[Column], frame: pd.DataFrame, styles: Styles) -> int:
    """Writes head and rows of a table from `row` on, blank where a value is absent; the row after them."""
    for at, item in enumerate(columns):
        sheet.write_string(row, at, item.label, styles.head)
    wanted = frame.reindex(columns=[item.name for item in columns])
    for line, record in enumerate(wanted.itertuples(index=False, name=None), start=row + 1):
        for at, (item, value) in enumerate(zip(columns, record, strict=True)):
            if pd.isna(value):
                continue
            if item.number:
                number = float(value)
                sheet.write_number(line, at, number, styles(num_format=_number_format(item.number, number)))
            else:
                sheet.write_string(line, at, str(value), styles.text)
    return row + 1 + len(frame)


def _box(cells: pd.DataFrame, certificates: pd.DataFrame, context: KPerfContext) -> list[tuple[str, str]]:
    """Label and text of each line in the box at the head of the summary."""
    chip = [text.rstrip(".") for text in (context.chip_title, context.chip_note) if text]
    models = [configuration_text(of_model(cells, name)) for name in model_names(cells)]
    users = cells["users"]
    grid = (
        f"{context.grid_name}: {len(shapes(cells))} shapes, {users.min():,} to {users.max():,} users. "
        "K-Perf's official grid is not public: this grid is npusim's own choice "
        f"({context.grid_source})."
    )
    done, assumed = len(predicted(cells)), int((certificates["kind"] == "assumed").sum())
    others = "." if done == len(cells) else "; the others are named below with the reason."
    scopes = ", ".join(str(scope) for scope in cells["power_scope"].dropna().unique()) or "not stated"
    watts = (
        f"{scopes}. This is the power of the accelerator cards, not server or wall power; tokens per joule "
        "follow from it."
    )
    known = (
        f"{assumed} of {len(certificates)} numbers in the descriptions are assumed, neither published nor "
        "measured: see the sheet Assumptions."
    )
    return [
        ("Chip", ". ".join(chip) + "."),
        ("Models and cards", "\n".join(models)),
        ("Grid", grid),
        ("Protocol", context.arrival_text),
        ("Predicted", f"{done} of {len(cells)} cells{others}"),
        ("Scope of the watts", watts),
        ("Intervals", context.interval_text),
        ("Calibration", context.calibration_text),
        ("Assumptions", known),
        ("Accuracy", "Measured only: a performance simulator says nothing about a model's answers."),
    ]


def _write_summary(
    sheet: Any, styles: Styles, cells: pd.DataFrame, certificates: pd.DataFrame, context: KPerfContext
) -> int:
    """Writes title, box, headlines and what was not predicted; the row from which the charts may start."""
    _landscape(sheet)
    shown = headlines(cells)
    columns = [item for item in HEADLINES if shown[item.name].notna().any()]
    widths = [item.width for item in columns] + [14.0] * _BOX_COLUMNS
    for at, width in enumerate(widths[: max(len(columns), _BOX_COLUMNS)]):
        sheet.set_column(at, at, width)
    sheet.write_string(0, 0, f"K-Perf prediction: {context.chip_title}", styles.title)
    warning = "PREDICTION, not a measurement."
    if not context.silicon:
        warning += " PROJECTION: this chip does not exist in silicon yet, so nothing here could be measured."
    border = {"border": 1, "border_color": "#BF8F00"}
    band = styles(bold=True, font_size=12, bg_color="#FFE699", align="left", valign="vcenter", indent=1, **border)
    sheet.merge_range(1, 0, 1, _BOX_COLUMNS - 1, warning, band)
    sheet.set_row(1, 22)
    row, border = 2, {"border": 1, "border_color": "#BFBFBF"}
    for label, text in _box(cells, certificates, context):
        sheet.write_string(row, 0, label, styles(bold=True, align="left", indent=1, **border))
        body = styles(text_wrap=True, align="left", indent=1, **border)
        sheet.merge_range(row, 1, row, _BOX_COLUMNS - 1, text or "not stated", body)
        sheet.set_row(row, _LINE_HEIGHT * _lines(text, sum(widths[1:_BOX_COLUMNS])))
        row += 1
    sheet.write_string(row + 1, 0, "Each model in one line", styles.heading)
    sheet.set_row(row + 2, 4 * _LINE_HEIGHT)
    row = _write_frame(sheet, row + 2, columns, shown, styles)
    gaps = missing(cells)
    return (row if gaps.empty else _write_missing(sheet, row + 1, styles, gaps, widths)) + 1


def _write_missing(sheet: Any, row: int, styles: Styles, gaps: pd.DataFrame, widths: list[float]) -> int:
    title = f"Not predicted: {gaps['cells'].sum()} cells"
    sheet.write_string(row, 0, title, styles(bold=True, font_size=12, font_color="#C00000"))
    end = _write_frame(sheet, row + 1, MISSING[:2], gaps, styles)
    spans = {"where": (2, 5), "reason": (6, _BOX_COLUMNS - 1)}
    for item in MISSING[2:]:
        sheet.merge_range(row + 1, spans[item.name][0], row + 1, spans[item.name][1], item.label, styles.head)
    for line, texts in enumerate(zip(gaps["where"], gaps["reason"], strict=True), start=row + 2):
        height = 1
        for text, (start, stop) in zip(texts, spans.values(), strict=True):
            sheet.merge_range(line, start, line, stop, text, styles.wrapped)
            height = max(height, _lines(text, sum(widths[start : stop + 1])))
        sheet.set_row(line, _LINE_HEIGHT * height)
    return end


def _place_charts(book: Any, sheet: Any, row: int, part: _Part, context: KPerfContext) -> None:
    made = [native_chart(book, chart, part.rows, part.table, context) for chart in CHARTS]
    for place, chart in enumerate(chart for chart in made if chart is not None):
        down, right = divmod(place, _CHARTS_ACROSS)
        sheet.insert_chart(row + 20 * down, 0, chart, {"x_offset": 6 + 610 * right, "y_offset": 4})


def _write_model(sheet: Any, styles: Styles, part: _Part, context: KPerfContext) -> None:
    rows, columns = part.rows, part.table.columns
    _landscape(sheet)
    sheet.fit_to_pages(math.ceil(sum(item.width for item in columns) / _PAGE_CHARACTERS), 0)
    title = f"{rows['model_title'].iloc[0]} on {context.chip_title}: predicted K-Perf measuring table"
    note, about = styles(font_color="#595959"), f"{configuration_text(rows)}. {context.arrival_text}"
    sheet.write_string(0, 0, title, styles.title)
    sheet.write_string(1, 0, f"{context.projection_text}{about} {context.interval_text}", note)
    sheet.write_string(2, 0, _LEGEND, note)
    _write_groups(sheet, styles, columns)
    sheet.set_row(_FIRST_ROW - 1, 4 * _LINE_HEIGHT)
    last = _write_frame(sheet, _FIRST_ROW - 1, columns, rows, styles) - 1
    grey = styles(font_color="#A6A6A6", italic=True, indent=1)
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width, None, {"level": 1} if item.detail else {})
        if item.group == ACCURACY:
            for line in range(_FIRST_ROW, last + 1):
                sheet.write_string(line, at, "measured only", grey)
    sheet.outline_settings(True, True, False, False)
    sheet.autofilter(_FIRST_ROW - 1, 0, last, len(columns) - 1)
    sheet.freeze_panes(_FIRST_ROW, 3)
    sheet.repeat_rows(_FIRST_ROW - 2, _FIRST_ROW - 1)
    sheet.repeat_columns(0, 2)
    _mark(sheet, styles, columns, last)


def _write_groups(sheet: Any, styles: Styles, columns: list[Column]) -> None:
    border = {"border": 1, "border_color": "#8EA9DB"}
    band = styles(bold=True, align="center", bg_color="#305496", font_color="#FFFFFF", **border)
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
    """Sets the conditional formats that the legend names, and a line above each new shape."""
    at = {item.name: place for place, item in enumerate(columns)}
    cell = {name: f"${xl_col_to_name(place)}{_FIRST_ROW + 1}" for name, place in at.items()}
    service = cell["users_in_service"]
    absent = styles(font_color="#7F7F7F", italic=True, bg_color="#EDEDED")
    strained, best = styles(bg_color="#F8CBAD"), styles(bold=True, font_color="#00682F")
    shape = f"=OR({cell['isl']}<>$A{_FIRST_ROW},{cell['osl']}<>$B{_FIRST_ROW})"
    rules: list[tuple[str, str, dict[str, Any]]] = [
        ("", shape, {"format": styles(top=1, top_color="#8EA9DB")}),
        ("", f'={cell["status"]}<>"{PREDICTED}"', {"format": absent}),
        ("preemptions", f"={cell['preemptions']}>0", {"format": strained}),
        ("refused", f"={cell['refused']}>0", {"format": strained}),
        ("users_in_service", f"=AND(ISNUMBER({service}),{service}<{cell['users']})", {"format": strained}),
    ]
    for name, formula, style in rules:
        first, final = (at[name], at[name]) if name else (0, len(columns) - 1)
        criteria = {"type": "formula", "criteria": formula} | style
        sheet.conditional_format(_FIRST_ROW, first, last, final, criteria)
    for name in ("output_tokens_per_s", "total_tokens_per_s", "tokens_per_joule"):
        top = {"type": "top", "value": 1, "format": best}
        sheet.conditional_format(_FIRST_ROW, at[name], last, at[name], top)


def _write_assumptions(sheet: Any, styles: Styles, certificates: pd.DataFrame, context: KPerfContext) -> None:
    _landscape(sheet)
    order = {kind: place for place, kind in enumerate(_KIND_COLOURS)}
    frame = certificates.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")
    low, high, value = (frame[name].astype(float) for name in ("low", "high", "value"))
    frame = frame.assign(spread=(high - low) / value.where(value > 0))
    counts = {kind: int((frame["kind"] == kind).sum()) for kind in order}
    others = ", ".join(f"{number} {kind}" for kind, number in counts.items() if kind != "assumed")
    sheet.write_string(0, 0, "Every number that the prediction rests on", styles.title)
    about = f"{counts['assumed']} of {len(frame)} are assumed: they come first, with their range"
    sheet.write_string(1, 0, f"{context.projection_text}{about}. The others: {others}.", styles(bold=True))
    sheet.set_row(3, 2 * _LINE_HEIGHT)
    last = _write_frame(sheet, 3, _CERTIFICATE_COLUMNS, frame, styles) - 1
    for at, item in enumerate(_CERTIFICATE_COLUMNS):
        sheet.set_column(at, at, item.width)
        if item.name == "kind":
            for line, kind in enumerate(frame["kind"], start=4):
                sheet.write_string(line, at, kind, styles(bg_color=_KIND_COLOURS[kind], indent=1))
    sheet.autofilter(3, 0, last, len(_CERTIFICATE_COLUMNS) - 1)
    sheet.freeze_panes(4, 2)
    sheet.repeat_rows(3)


def _write_manifest(sheet: Any, styles: Styles, manifest: dict[str, Any], context: KPerfContext) -> None:
    _landscape(sheet)
    columns = (Column("key", "Key", width=60), Column("value", "Value", width=120))
    frame = pd.DataFrame(list(_flat(manifest)), columns=["key", "value"])
    sheet.write_string(0, 0, "What made this prediction: enough to repeat it", styles.title)
    sheet.write_string(1, 0, context.projection_text, styles(bold=True))
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
