"""The K-Perf workbook: what was predicted, how far to trust it, the tables, assumptions and manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from xlsxwriter.utility import xl_col_to_name

from npusim.kperf.charts import CHARTS, points
from npusim.kperf.fidelity import fidelity_text
from npusim.kperf.headline_text import MEANS, headline_lines
from npusim.kperf.native_charts import BARS_SHEET, SheetTable, bar_columns, bar_lengths, native_chart
from npusim.kperf.shares import no_shares
from npusim.kperf.sheets import FOOTER, LINE_HEIGHT, Styles, landscape, new_workbook, text_lines, write_frame
from npusim.kperf.table import (
    ACCURACY,
    BEST,
    MISSING,
    PREDICTED,
    Column,
    KPerfContext,
    missing,
    model_names,
    of_model,
    predicted,
    rows_configuration_text,
    shapes,
    sheet_columns,
    unique_names,
)
from npusim.kperf.workbook_measuring import write_measuring
from npusim.kperf.workbook_record import write_assumptions, write_manifest
from npusim.kperf.workbook_shares import SHARES_SHEET, write_shares
from npusim.metric_row import Metric
from npusim.metrics import METRICS
from npusim.words import Phrase, Say

_OWN_SHEETS = ("Summary", "Assumptions", "Manifest", "History", BARS_SHEET, SHARES_SHEET)
_FORBIDDEN = r"[\[\]:*?/\\'=!|]+"
_FIRST_ROW = 5
_SAID = ("fidelity_recovery", "bound", "status")
"""Columns of a model's sheet that hold words, beside those of conditions, which `npusim check` reads."""
_BOX_COLUMNS = 13
_CHARTS_ACROSS, _CHART_ROWS = 2, 20
_SUMMARY_PERCENT = 64
"""Size in print at which the columns of the summary fill A4; two rows of charts have room on a page then."""
_PAGE_CHARACTERS = 190
_LABEL_WIDTH, _BOX_WIDTH, _MODEL_SPAN = 34.0, 10.5, 3
"""Characters of the columns of the summary, and how many of them a model has."""
_LEGEND = Phrase(
    "Grey row: not predicted, the reason is under Status. Orange: requests pre-empted or refused, or "
    "fewer users in service at once than asked for. Bold green: best of the column. Percentiles and ranges "
    "fold away above the columns."
)


@dataclass(frozen=True, eq=False)
class _Part:
    """One model's rows, where they are in the workbook, and the names of the sheets to fill in and for its charts."""

    rows: pd.DataFrame
    table: SheetTable
    bars: SheetTable
    measured_sheet: str
    chart_sheet: str

    @property
    def model(self) -> str:
        return str(self.rows["model"].iloc[0])

    @property
    def title(self) -> str:
        return str(self.rows["model_title"].iloc[0])

    @property
    def drawable(self) -> bool:
        return any(not points(self.rows, chart).empty for chart in CHARTS)


def write_kperf_workbook(
    cells: pd.DataFrame,
    provenances: pd.DataFrame,
    manifest: dict[str, Any],
    context: KPerfContext,
    path: Path,
    shares: pd.DataFrame | None = None,
) -> None:
    """Writes the workbook to `path`; the same input gives the same bytes. Arguments as for `publish`."""
    say = context.say
    with new_workbook(path, say("K-Perf prediction: {chip}", chip=context.chip_title)) as book:
        _write_sheets(book, (cells, provenances, no_shares() if shares is None else shares), manifest, context)


def _write_sheets(
    book: Any, tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], manifest: dict[str, Any], context: KPerfContext
) -> None:
    cells, provenances, shares = tables
    say = context.say
    styles, parts = Styles(book, say), _parts(cells, say)
    summary = book.add_worksheet(say("Summary"))
    row = _write_summary(summary, styles, cells, provenances, context)
    drawn = [part for part in parts if part.drawable]
    summary.set_print_scale(_SUMMARY_PERCENT)
    summary.set_h_pagebreaks([row, row + 1 + 2 * _CHART_ROWS])
    if drawn:
        summary.write_string(row, 0, say("Charts: {model}", model=drawn[0].rows["model_title"].iloc[0]), styles.heading)
        _place_charts(book, summary, row + 1, drawn[0], context)
    else:
        summary.write_string(row, 0, say("No charts: no cell was predicted."), styles.heading)
    for part in parts:
        _write_model(book.add_worksheet(part.table.sheet), styles, part, context)
        write_measuring(book.add_worksheet(part.measured_sheet), styles, part.rows, context)
        if part in drawn[1:]:
            sheet = book.add_worksheet(part.chart_sheet)
            landscape(sheet, styles.say(FOOTER))
            shown = say("{configuration}: charts (prediction)", configuration=say(rows_configuration_text(part.rows)))
            sheet.write_string(0, 0, shown, styles.title)
            sheet.write_string(1, 0, context.projection_text, styles(bold=True))
            _place_charts(book, sheet, 2, part, context)
    if not shares.empty:
        sheet, titles = book.add_worksheet(say(SHARES_SHEET)), {part.model: part.title for part in parts}
        write_shares(book, sheet, styles, shares, titles, context.projection_text)
    write_assumptions(book.add_worksheet(say("Assumptions")), styles, provenances, context)
    write_manifest(book.add_worksheet(say("Manifest")), styles, manifest, context)
    lengths = pd.concat([bar_lengths(part.rows) for part in parts])
    if (lengths > 0.0).to_numpy().any():
        _write_bars(book.add_worksheet(say(BARS_SHEET)), styles, lengths)


def _parts(cells: pd.DataFrame, say: Say) -> list[_Part]:
    every = [of_model(cells, model) for model in model_names(cells)]
    own = [said for name in _OWN_SHEETS for said in (name, say(name))]
    sheets = unique_names([str(rows["model_title"].iloc[0]) for rows in every], _FORBIDDEN, 31, own)
    wanted = [f"{name[:22]} {say(what)}" for what in ("measured", "charts") for name in sheets]
    others = unique_names(wanted, _FORBIDDEN, 31, (*own, *sheets))
    bars, first = list(bar_columns()), 1
    parts = []
    for rows, sheet, measured, charts in zip(every, sheets, others[: len(every)], others[len(every) :], strict=True):
        table, lengths = SheetTable(sheet, sheet_columns(rows), _FIRST_ROW), SheetTable(say(BARS_SHEET), bars, first)
        parts.append(_Part(rows, table, lengths, measured, charts))
        first += len(rows)
    return parts


def _write_bars(sheet: Any, styles: Styles, lengths: pd.DataFrame) -> None:
    """The lengths of all error bars, a row a cell in the order of the models' sheets; the sheet is hidden."""
    write_frame(sheet, 0, list(bar_columns()), lengths, styles)
    sheet.hide()


def _box(cells: pd.DataFrame, provenances: pd.DataFrame, context: KPerfContext) -> list[tuple[str, str]]:
    """Label and text of each line in the box at the head of the summary."""
    say, users = context.say, cells["users"]
    chip = [text.rstrip(".") for text in (say(context.chip_title), say(context.chip_note)) if text]
    models = [say(rows_configuration_text(of_model(cells, name))) for name in model_names(cells)]
    grid = say(
        "{name}: {shapes} shapes, {fewest} to {most} users. K-Perf's official grid is not public: this grid is "
        "npusim's own choice ({source}).",
        name=context.grid_name,
        shapes=len(shapes(cells)),
        fewest=f"{users.min():,}",
        most=f"{users.max():,}",
        source=context.grid_source,
    )
    done, assumed = len(predicted(cells)), int((provenances["kind"] == "assumed").sum())
    cells_told = say("{done} of {all} cells.", done=done, all=len(cells))
    if done < len(cells):
        cells_told = f"{cells_told} {say('The others are named below with the reason.')}"
    scopes = ", ".join(str(scope) for scope in cells["power_scope"].dropna().unique()) or say("not stated")
    watts = say(
        "{scopes}. This is the power of the accelerator cards, not server or wall power; tokens per joule follow from "
        "it.",
        scopes=scopes,
    )
    known = say(
        "{assumed} of {all} numbers in the descriptions are assumed, neither published nor measured: see the sheet "
        "Assumptions.",
        assumed=assumed,
        all=len(provenances),
    )
    return [
        (say("Chip"), ". ".join(chip) + "."),
        (say("Models and cards"), "\n".join(models)),
        (say("Grid"), grid),
        (say("Protocol"), say(context.arrival_text)),
        (say("Predicted"), cells_told),
        (say("Scope of the watts"), watts),
        (say("Intervals"), f"{say(MEANS)}\n{say(context.interval_text)}"),
        (say("Calibration"), say(context.calibration_text)),
        (say("Software"), say(context.software_text)),
        (say("Assumptions"), known),
        (say("Expected fidelity"), fidelity_text(cells, say)),
        (say("Accuracy"), say("Measured only: a performance simulator says nothing about a model's answers.")),
    ]


def _write_summary(
    sheet: Any, styles: Styles, cells: pd.DataFrame, provenances: pd.DataFrame, context: KPerfContext
) -> int:
    """Writes title, box, headlines and what was not predicted; the row from which the charts may start."""
    landscape(sheet, styles.say(FOOTER))
    widths = [_LABEL_WIDTH, *[_BOX_WIDTH] * (_BOX_COLUMNS - 1)]
    for at, width in enumerate(widths):
        sheet.set_column(at, at, width)
    say = context.say
    sheet.write_string(0, 0, say("K-Perf prediction: {chip}", chip=context.chip_title), styles.title)
    warning = say("PREDICTION, not a measurement.")
    if not context.silicon:
        projection = say("PROJECTION: this chip does not exist in silicon yet, so nothing here could be measured.")
        warning = f"{warning} {projection}"
    border = {"border": 1, "border_color": "#BF8F00"}
    band = styles(bold=True, font_size=12, bg_color="#FFE699", align="left", valign="vcenter", indent=1, **border)
    sheet.merge_range(1, 0, 1, _BOX_COLUMNS - 1, warning, band)
    sheet.set_row(1, 22)
    row, border = 2, {"border": 1, "border_color": "#BFBFBF"}
    for label, text in _box(cells, provenances, context):
        sheet.write_string(row, 0, label, styles(bold=True, align="left", indent=1, **border))
        body = styles(text_wrap=True, align="left", indent=1, **border)
        sheet.merge_range(row, 1, row, _BOX_COLUMNS - 1, text or say("not stated"), body)
        sheet.set_row(row, LINE_HEIGHT * text_lines(text, sum(widths[1:_BOX_COLUMNS])))
        row += 1
    sheet.write_string(row + 1, 0, say("The best of each model, with its 90 % interval."), styles.heading)
    row = _write_headlines(sheet, row + 2, styles, headline_lines(cells, say))
    gaps = missing(cells)
    return (row if gaps.empty else _write_missing(sheet, row + 1, styles, gaps, widths)) + 1


def _write_headlines(sheet: Any, row: int, styles: Styles, lines: list[tuple[str, list[str]]]) -> int:
    """A line a figure; models beside each other, the next ones below; the row after them."""
    per_band = (_BOX_COLUMNS - 1) // _MODEL_SPAN
    for first in range(0, len(lines[0][1]), per_band):
        for position, (label, texts) in enumerate(lines):
            head = position == 0
            sheet.write_string(row, 0, label, styles.head if head else styles.wrapped)
            for at, text in enumerate(texts[first : first + per_band]):
                left = 1 + _MODEL_SPAN * at
                style = styles.head if head else styles(align="right", indent=1)
                sheet.merge_range(row, left, row, left + _MODEL_SPAN - 1, text, style)
            sheet.set_row(row, LINE_HEIGHT * max(text_lines(label, _LABEL_WIDTH), 1))
            row += 1
        row += 1
    return row


def _write_missing(sheet: Any, row: int, styles: Styles, gaps: pd.DataFrame, widths: list[float]) -> int:
    title = styles.say("Not predicted: {cells} cells", cells=gaps["cells"].sum())
    sheet.write_string(row, 0, title, styles(bold=True, font_size=12, font_color="#C00000"))
    end = write_frame(sheet, row + 1, MISSING[:2], gaps, styles)
    spans = {"where": (2, 5), "reason": (6, _BOX_COLUMNS - 1)}
    for item in MISSING[2:]:
        sheet.merge_range(
            row + 1, spans[item.name][0], row + 1, spans[item.name][1], item.label_in(styles.say), styles.head
        )
    for line, texts in enumerate(
        zip(gaps["where"].map(styles.say), gaps["reason"].map(styles.say), strict=True), start=row + 2
    ):
        height = 1
        for text, (start, stop) in zip(texts, spans.values(), strict=True):
            sheet.merge_range(line, start, line, stop, text, styles.wrapped)
            height = max(height, text_lines(text, sum(widths[start : stop + 1])))
        sheet.set_row(line, LINE_HEIGHT * height)
    return end


def _place_charts(book: Any, sheet: Any, row: int, part: _Part, context: KPerfContext) -> None:
    made = [native_chart(book, chart, part.rows, part.table, part.bars, context) for chart in CHARTS]
    for index, chart in enumerate(chart for chart in made if chart is not None):
        down, right = divmod(index, _CHARTS_ACROSS)
        sheet.insert_chart(row + _CHART_ROWS * down, 0, chart, {"x_offset": 6 + 570 * right, "y_offset": 4})


def _write_model(sheet: Any, styles: Styles, part: _Part, context: KPerfContext) -> None:
    rows, columns = part.rows, part.table.columns
    landscape(sheet, styles.say(FOOTER))
    sheet.fit_to_pages(math.ceil(sum(item.width for item in columns) / _PAGE_CHARACTERS), 0)
    model, say = rows["model_title"].iloc[0], context.say
    title = say("{model} on {chip}: predicted K-Perf measuring table", model=model, chip=context.chip_title)
    note, told = styles(font_color="#595959"), (context.arrival_text, MEANS)
    sheet.write_string(0, 0, title, styles.title)
    about = f"{say(rows_configuration_text(rows))}. {' '.join(map(say, told))}"
    sheet.write_string(1, 0, f"{context.projection_text}{about}", note)
    sheet.write_string(2, 0, _LEGEND.in_words_of(say), note)
    _write_groups(sheet, styles, columns)
    sheet.set_row(_FIRST_ROW - 1, 4 * LINE_HEIGHT)
    spoken = rows.assign(**{name: rows[name].map(say, na_action="ignore") for name in _SAID if name in rows})
    last = write_frame(sheet, _FIRST_ROW - 1, columns, spoken, styles) - 1
    grey = styles(font_color="#A6A6A6", italic=True, indent=1)
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width, None, {"level": 1} if item.detail else {})
        if item.group == ACCURACY:
            for line in range(_FIRST_ROW, last + 1):
                sheet.write_string(line, at, say("measured only"), grey)
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
            sheet.merge_range(_FIRST_ROW - 2, start, _FIRST_ROW - 2, at, styles.say(item.group), band)
        else:
            sheet.write_string(_FIRST_ROW - 2, at, styles.say(item.group), band)
        start = at + 1


def _mark(sheet: Any, styles: Styles, columns: list[Column], last: int) -> None:
    """Sets the conditional formats that the legend names, and a line above each new shape."""
    at = {item.name: index for index, item in enumerate(columns)}
    cell = {name: f"${xl_col_to_name(index)}{_FIRST_ROW + 1}" for name, index in at.items()}
    absent = styles(font_color="#7F7F7F", italic=True, bg_color="#EDEDED")
    strained, best = styles(bg_color="#F8CBAD"), styles(bold=True, font_color="#00682F")
    shape = f"=OR({cell['isl']}<>$A{_FIRST_ROW},{cell['osl']}<>$B{_FIRST_ROW})"
    rules: list[tuple[str, str, dict[str, Any]]] = [
        ("", shape, {"format": styles(top=1, top_color="#8EA9DB")}),
        ("", f'={cell["status"]}<>"{styles.say(PREDICTED)}"', {"format": absent}),
    ]
    rules += [(row.name, _strained(row, cell), {"format": strained}) for row in METRICS if row.strained]
    for name, formula, style in rules:
        first, final = (at[name], at[name]) if name else (0, len(columns) - 1)
        criteria = {"type": "formula", "criteria": formula} | style
        sheet.conditional_format(_FIRST_ROW, first, last, final, criteria)
    for row in BEST:
        top = {"type": "top" if row.better == "more" else "bottom", "value": 1, "format": best}
        sheet.conditional_format(_FIRST_ROW, at[row.name], last, at[row.name], top)


def _strained(row: Metric, cell: dict[str, str]) -> str:
    """The formula that is true where a cell's count shows an overloaded server."""
    own = cell[row.name]
    return f"={own}>0" if row.strained == "any" else f"=AND(ISNUMBER({own}),{own}<{cell['users']})"
