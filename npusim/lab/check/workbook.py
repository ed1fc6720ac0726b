"""The Excel copy of a checked table: each measured value with its prediction, interval and verdict beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE, UNCHECKED
from npusim.kperf.sheets import LINE_HEIGHT, Styles, half_widths, landscape, new_workbook, text_lines
from npusim.lab.check.conformity import COLUMNS
from npusim.lab.check.result import CheckResult
from npusim.lab.check.row import CheckedFigure, CheckedRow
from npusim.safe_text import printable
from npusim.words import ENGLISH, Say, speaker

_COLOURS = {IMPOSSIBLE: "#F4B084", IMPLAUSIBLE: "#FFE699", PLAUSIBLE: "#C6E0B4", UNCHECKED: "#EDEDED"}
_SIDES = ("measured", "predicted", "low", "high", "verdict")
_WIDTHS = {
    "row": 5,
    "place": 20,
    "reason": 44,
    "remarks": 44,
    "deviations": 28,
    "model": 15,
    "key": 50,
    "value": 90,
    "told and assumed": 28,
    "plausible if": 20,
    "Row": 5,
    "File and line": 20,
    "Deviations from the grid": 28,
    "Remarks of the linter": 44,
}
_NARROWEST, _WIDEST = 8, 12
"""Characters of columns that have no width of their own."""
_SAID = ("verdict", "bound", "told and assumed", "plausible if", "reason", "remarks", "metric", "prompts", "start",
         "Deviations from the grid", "Remarks of the linter", "Scope of the watts")  # fmt: skip
"""Columns that hold words, beside the verdicts."""
_HEAD = 3
_ABOUT = (
    "impossible: a bound is broken even on the most favourable terms. implausible: outside the 99 % interval of the "
    "prediction, or the row contradicts itself. plausible: inside. unchecked: the reason is given. Predicted values "
    "are npusim's, measured ones the lab's."
)


def write_check_workbook(
    found: CheckResult, checked: pd.DataFrame, manifest: dict[str, Any], path: Path, say: Say | None = None
) -> None:
    """Sheets Table (a line a row), Figures (a line a figure, with reasons), Conformity and Manifest.

    say: translates into the reader's language, English by default.
    """
    say = say or speaker(ENGLISH)
    with new_workbook(path, say("Checked measurements")) as book:
        styles = Styles(book, say)
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.counts().items())
        title = f"{len(found.rows):,} rows: {counts}"
        record = pd.DataFrame(list(_flat(manifest)), columns=["key", "value"])
        whole = "Every figure with the reason of its verdict"
        _write(book.add_worksheet(say("Table")), styles, title, _table(found.rows), last="reason")
        _write(book.add_worksheet(say("Figures")), styles, whole, _figures(found.rows))
        sheet = book.add_worksheet(say("Conformity"))
        _write(sheet, styles, "How the rows were measured", checked.rename(columns=COLUMNS))
        _write(book.add_worksheet(say("Manifest")), styles, "What made this check", record)


def _table(rows: tuple[CheckedRow, ...]) -> pd.DataFrame:
    """A line a row: setting, verdict with its bound, and five columns for every metric."""
    records = []
    for index, row in enumerate(rows):
        decisive = row.decisive
        record: dict[str, Any] = {"row": index, "place": row.location, "tool": row.tool}
        record |= row.setting.values()
        record |= {"verdict": row.verdict, "bound": decisive.bound if decisive else None}
        record |= {"told and assumed": row.known.text, "plausible if": row.known.needs or None}
        record["smallest inflation seen"] = row.seen
        record["reason"] = f"{decisive.metric} {decisive.reason}".strip() if decisive else None
        for figure in row.figures:
            record |= {f"{figure.metric} {side}": _side(figure, side) for side in _SIDES}
        records.append(record)
    return pd.DataFrame(records)


def _side(figure: CheckedFigure, side: str) -> Any:
    return figure.measured.value if side == "measured" else getattr(figure, side)


def _figures(rows: tuple[CheckedRow, ...]) -> pd.DataFrame:
    records = [
        {"row": index, "place": row.location, **figure.as_dict()}
        for index, row in enumerate(rows)
        for figure in (*row.whole, *row.figures)
    ]
    return pd.DataFrame(records)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{position}]")
    else:
        yield key, "" if value is None else str(value)


def _write(sheet: Any, styles: Styles, title: str, frame: pd.DataFrame, last: str = "") -> None:
    """A table under its title, for print on A4 up to the column `last`, by default to the end.

    Columns that say nothing of any row are hidden.
    """
    say = styles.say
    landscape(sheet, say("checked measurements"))
    sheet.write_string(0, 0, say(title), styles.title)
    sheet.set_row(_HEAD, 3 * LINE_HEIGHT)
    names = [str(name) for name in frame.columns]
    widths = [_WIDTHS.get(name, max(_NARROWEST, min(half_widths(say(name)), _WIDEST))) for name in names]
    for at, (name, width) in enumerate(zip(names, widths, strict=True)):
        sheet.write_string(_HEAD, at, say(name), styles.head)
        sheet.set_column(at, at, width, None, {"hidden": bool(len(frame)) and bool(frame[name].isna().all())})
    _write_rows(sheet, styles, frame, widths)
    end, across = _HEAD + len(frame), names.index(last) if last in names else max(0, len(names) - 1)
    about = styles(font_color="#595959", text_wrap=True)
    if across:
        sheet.merge_range(1, 0, 1, across, say(_ABOUT), about)
        sheet.set_row(1, LINE_HEIGHT * text_lines(say(_ABOUT), sum(widths[: across + 1])))
    else:
        sheet.write_string(1, 0, say(_ABOUT), about)
    sheet.autofilter(_HEAD, 0, max(_HEAD, end), max(0, len(names) - 1))
    sheet.freeze_panes(_HEAD + 1, 2)
    sheet.repeat_rows(_HEAD)
    sheet.print_area(0, 0, max(_HEAD, end), across)


def _write_rows(sheet: Any, styles: Styles, frame: pd.DataFrame, widths: list[int]) -> None:
    number = styles(num_format="#,##0.###")
    marks = {verdict: styles(bg_color=colour, indent=1, text_wrap=True) for verdict, colour in _COLOURS.items()}
    names = [str(name) for name in frame.columns]
    said = [name in _SAID or name.endswith(" verdict") for name in names]
    for line, record in enumerate(frame.itertuples(index=False, name=None), start=_HEAD + 1):
        height = 1
        for at, value in enumerate(record):
            if isinstance(value, str):
                text = printable(styles.say(value) if said[at] else value)
                sheet.write_string(line, at, text, marks.get(value, styles.wrapped))
                height = max(height, text_lines(text, widths[at]))
            elif value is not None and not pd.isna(value):
                sheet.write_number(line, at, float(value), number)
        sheet.set_row(line, LINE_HEIGHT * height)
