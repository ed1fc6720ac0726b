"""The K-Perf charts as native charts of a workbook, over the cells of its tables, with intervals as error bars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from xlsxwriter.utility import quote_sheetname, xl_range_abs

from npusim.kperf.charts import CHARTS, GridChart, Style, points, reach, style_of
from npusim.kperf.table import Column, KPerfContext, column, shapes
from npusim.safe_text import chart_title
from npusim.scales import MOST_MS
from npusim.words import Say

_MOST_OCTAVES = 10
_AS_SECONDS = "#,##0.0##,"
"""A format that shows thousands of milliseconds."""
_DOWN, _UP = "_down", "_up"
BARS_SHEET = "Interval bars"
"""The sheet of what error bars are as long as: spreadsheets take their lengths from cells."""


def bar_columns() -> Iterator[Column]:
    """Columns of the lengths of error bars: down to the low end and up to the high one of every figure of a chart."""
    for name in dict.fromkeys(name for chart in CHARTS for name in (chart.x, chart.y)):
        item = column(name)
        for side, end in ((_DOWN, "low"), (_UP, "high")):
            yield replace(item, name=f"{name}{side}", heading=f"{item.heading}, {end}", width=14)


def bar_lengths(rows: pd.DataFrame) -> pd.DataFrame:
    """The lengths of the error bars of a model's rows, 0 where a figure has no interval."""
    lengths = {}
    for item in bar_columns():
        name, _, side = item.name.rpartition("_")
        found = reach(rows, name)
        lengths[item.name] = np.zeros(len(rows)) if found is None else found[f"_{side}" == _UP]
    return pd.DataFrame(lengths)


@dataclass(frozen=True)
class SheetTable:
    """Where a model's rows are in the workbook: sheet, columns from the left, first row (from 0)."""

    sheet: str
    columns: list[Column]
    first_row: int

    def cells(self, name: str, indices: list[int]) -> str:
        """Formula of the cells of a column at these indices (row numbers of the model's rows, ascending)."""
        at = next(i for i, item in enumerate(self.columns) if item.name == name)
        runs: list[list[int]] = []
        for index in indices:
            if runs and index == runs[-1][1] + 1:
                runs[-1][1] = index
            else:
                runs.append([index, index])
        sheet = quote_sheetname(self.sheet)
        ranges = [f"{sheet}!{xl_range_abs(self.first_row + a, at, self.first_row + b, at)}" for a, b in runs]
        return f"={ranges[0]}" if len(ranges) == 1 else f"=({','.join(ranges)})"


def native_chart(
    book: Any, chart: GridChart, rows: pd.DataFrame, table: SheetTable, bars: SheetTable, context: KPerfContext
) -> Any | None:
    """The chart as a native spreadsheet chart over `table`, or None when no point can be shown.

    book: xlsxwriter Workbook; rows: one model's rows, numbered from 0 in the order of the sheet; bars: where the
    lengths of their error bars are.
    """
    shown = points(rows, chart)
    if shown.empty:
        return None
    say = context.say
    drawn = book.add_chart({"type": "scatter", "subtype": "straight_with_markers"})
    for index, (isl, osl) in enumerate(shapes(rows)):
        line = shown[(shown["isl"] == isl) & (shown["osl"] == osl)]
        if not line.empty:
            name = say("{isl} in / {osl} out", isl=f"{isl:,}", osl=f"{osl:,}")
            drawn.add_series(_series(chart, line, (table, bars), style_of(index), name))
    model = rows["model_title"].iloc[0]
    title = f"{say(context.chip_title)}, {model}: {say(chart.title)} ({say('prediction')})"
    drawn.set_title({"name": chart_title(title), "name_font": {"size": 10, "bold": True}, "overlay": False})
    x_axis, y_axis = _axis(chart.x, True, shown, say), _axis(chart.y, chart.log_y, shown, say)
    x_axis["crossing"], y_axis["crossing"] = x_axis["min"], y_axis["min"]
    drawn.set_x_axis(x_axis)
    drawn.set_y_axis(y_axis)
    drawn.set_legend({"position": "right", "font": {"size": 9}})
    drawn.set_size({"width": 560, "height": 380})
    drawn.show_blanks_as("gap")
    return drawn


def _series(
    chart: GridChart, line: pd.DataFrame, tables: tuple[SheetTable, SheetTable], style: Style, label: str
) -> dict[str, Any]:
    table, bars = tables
    indices = [int(index) for index in line.index]
    series: dict[str, Any] = {
        "name": label,
        "categories": table.cells(chart.x, indices),
        "values": table.cells(chart.y, indices),
        "line": {"color": style.colour, "width": 1.5, "dash_type": style.sheet_dash},
        "marker": {
            "type": style.sheet_marker,
            "size": 7,
            "border": {"color": style.colour},
            "fill": {"color": style.colour},
        },
    }
    for axis, metric in (("x", chart.x), ("y", chart.y)):
        if reach(line, metric) is not None:
            series[f"{axis}_error_bars"] = {
                "type": "custom",
                "minus_values": bars.cells(f"{metric}{_DOWN}", indices),
                "plus_values": bars.cells(f"{metric}{_UP}", indices),
                "line": {"color": style.colour, "width": 0.75},
            }
    return series


def _axis(name: str, logarithmic: bool, shown: pd.DataFrame, say: Say) -> dict[str, Any]:
    """Axis from zero, or from whole power to whole power of 2 (10 where powers of 2 would crowd it)."""
    held = [name] + [f"{name}_{side}" for side in ("low", "high") if f"{name}_{side}" in shown]
    values = shown[held].to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    item = column(name)
    in_s = item.unit == "ms" and values.size > 0 and values.max() >= MOST_MS
    axis: dict[str, Any] = {
        "name": (replace(item, unit="s") if in_s else item).label_in(say),
        "name_font": {"size": 10, "bold": False},
        "num_font": {"size": 9},
        "num_format": "General",
        "major_gridlines": {"visible": True, "line": {"color": "#D9D9D9", "width": 0.5}},
    }
    if not logarithmic:
        step = _round_step(values.max() / 5 if values.size else 1.0)
        top = step * (math.floor(values.max() / step) + 1) if values.size else step
        return axis | {"min": 0.0, "max": top, "major_unit": step}
    base = 2 if values.max() / values.min() <= 2**_MOST_OCTAVES else 10
    bottom = math.floor(math.log(values.min(), base) + 1e-9)
    top = max(float(base) ** math.ceil(math.log(values.max(), base) - 1e-9), float(base) ** (bottom + 1))
    scale = {"log_base": base, "major_unit": base, "min": float(base) ** bottom}
    room = 1.25 if values.max() > 0.9 * top else 1.0
    return (
        axis | scale | {"max": top * room, "num_format": _AS_SECONDS if in_s else "#,##0" if bottom >= 0 else "General"}
    )


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... (and their tenths) that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))
