"""The Excel copy of a checked table: each measured value with its prediction, interval and verdict beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE, UNCHECKED
from npusim.kperf.sheets import Styles, new_workbook
from npusim.lab.check.conformity import COLUMNS
from npusim.lab.check.result import CheckResult
from npusim.lab.check.row import CheckedFigure, CheckedRow
from npusim.safe_text import printable

_COLOURS = {IMPOSSIBLE: "#F4B084", IMPLAUSIBLE: "#FFE699", PLAUSIBLE: "#C6E0B4", UNCHECKED: "#EDEDED"}
_SIDES = ("measured", "predicted", "low", "high", "verdict")
_WIDTHS = {
    "place": 48,
    "reason": 110,
    "remarks": 90,
    "deviations": 50,
    "model": 34,
    "key": 50,
    "value": 110,
    "told and assumed": 60,
}
_ABOUT = (
    "impossible: a bound is broken even on the most favourable terms. implausible: outside the 99 % interval of the "
    "prediction, or the row contradicts itself. plausible: inside. unchecked: the reason is given. Predicted values "
    "are npusim's, measured ones the lab's."
)


def write_check_workbook(found: CheckResult, checked: pd.DataFrame, manifest: dict[str, Any], path: Path) -> None:
    """Sheets Table (a line a row), Figures (a line a figure, with reasons), Conformity and Manifest."""
    with new_workbook(path, "Checked measurements") as book:
        styles = Styles(book)
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.counts().items())
        title = f"{len(found.rows):,} rows: {counts}"
        _write(book.add_worksheet("Table"), styles, title, _table(found.rows))
        _write(
            book.add_worksheet("Figures"), styles, "Every figure with the reason of its verdict", _figures(found.rows)
        )
        _write(book.add_worksheet("Conformity"), styles, "How the rows were measured", checked.rename(columns=COLUMNS))
        record = pd.DataFrame(list(_flat(manifest)), columns=["key", "value"])
        _write(book.add_worksheet("Manifest"), styles, "What made this check", record)


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


def _write(sheet: Any, styles: Styles, title: str, frame: pd.DataFrame) -> None:
    sheet.write_string(0, 0, title, styles.title)
    sheet.write_string(1, 0, _ABOUT, styles(font_color="#595959"))
    for at, name in enumerate(frame.columns):
        sheet.write_string(3, at, str(name), styles.head)
        sheet.set_column(at, at, _WIDTHS.get(str(name), max(11, min(len(str(name)), 24))))
    plain, number = styles.text, styles(num_format="#,##0.###")
    marks = {verdict: styles(bg_color=colour, indent=1) for verdict, colour in _COLOURS.items()}
    for line, record in enumerate(frame.itertuples(index=False, name=None), start=4):
        for at, value in enumerate(record):
            if isinstance(value, str):
                sheet.write_string(line, at, printable(value), marks.get(value, plain))
            elif value is not None and not pd.isna(value):
                sheet.write_number(line, at, float(value), number)
    sheet.autofilter(3, 0, max(3, 3 + len(frame)), max(0, len(frame.columns) - 1))
    sheet.freeze_panes(4, 2)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
