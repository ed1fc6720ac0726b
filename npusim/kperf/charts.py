"""The K-Perf charts, drawn twice from one description: PNG files for print and native charts in the workbook.

Both show one line per shape (input / output tokens) over the predicted cells of one model, with the 90 %
interval where the cells have one. Lines differ by colour, marker and dash and so hold in black and white.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from xlsxwriter.utility import quote_sheetname, xl_range_abs

from npusim.kperf.table import (
    Column,
    KPerfContext,
    column,
    predicted,
    rows_configuration_text,
    shape_text,
    shapes,
)
from npusim.metrics import METRICS
from npusim.safe_text import chart_title
from npusim.words import ENGLISH, Say, speaker


@dataclass(frozen=True)
class GridChart:
    """One chart: the columns on its axes; x is logarithmic, y is logarithmic or starts at zero."""

    slug: str
    title: str
    x: str
    y: str
    log_y: bool


_DRAWN = sorted((row.drawn.position, row.name, row.drawn) for row in METRICS if row.drawn is not None)
CHARTS = tuple(GridChart(drawn.slug, drawn.title, drawn.against, name, drawn.log) for _, name, drawn in _DRAWN)

_MOST_OCTAVES = 10
_PLACEHOLDERS = "Last Resort"
"""A font that comes with matplotlib and has a box for every character."""


@dataclass(frozen=True)
class Style:
    """How one line looks, in matplotlib's and in the spreadsheet's words."""

    colour: str
    marker: str
    dash: str
    sheet_marker: str
    sheet_dash: str


STYLES = (
    Style("#000000", "o", "-", "circle", "solid"),
    Style("#0072B2", "s", "--", "square", "dash"),
    Style("#D55E00", "^", "-", "triangle", "solid"),
    Style("#009E73", "D", "-.", "diamond", "dash_dot"),
    Style("#CC79A7", "v", "-", "x", "solid"),
    Style("#E69F00", "P", "--", "plus", "long_dash"),
    Style("#56B4E9", "X", ":", "star", "square_dot"),
)


def _style(index: int) -> Style:
    """Style of the index-th line; after the last colour they come again with other markers and dashes."""
    count = len(STYLES)
    other = STYLES[(index + index // count) % count]
    return replace(other, colour=STYLES[index % count].colour)


def points(rows: pd.DataFrame, chart: GridChart) -> pd.DataFrame:
    """The rows that the chart can show: predicted, finite, and above zero on a logarithmic axis."""
    x, y = rows[chart.x].astype(float), rows[chart.y].astype(float)
    shown = np.isfinite(x) & np.isfinite(y) & (x > 0)
    return predicted(rows[shown & (y > 0) if chart.log_y else shown])


def reach(rows: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Distances from the metric down to its low and up to its high, 0 where absent; None without any."""
    if f"{metric}_low" not in rows or f"{metric}_high" not in rows:
        return None
    value = rows[metric].to_numpy(float)
    down = np.nan_to_num(value - rows[f"{metric}_low"].to_numpy(float)).clip(min=0.0)
    up = np.nan_to_num(rows[f"{metric}_high"].to_numpy(float) - value).clip(min=0.0)
    return (down, up) if down.any() or up.any() else None


def write_charts(rows: pd.DataFrame, context: KPerfContext, stem: str, folder: Path) -> list[str]:
    """Draws every chart of one model's rows as `<stem>-<slug>.png` in `folder`; returns the names written.

    A chart without a point is not drawn.
    """
    written = []
    with for_print(context) as spoken:
        for chart in CHARTS:
            shown = points(rows, chart)
            if not shown.empty:
                written.append(save(_draw(chart, rows, shown, spoken), folder / f"{stem}-{chart.slug}.png"))
    return written


def save(figure: Figure, path: Path) -> str:
    """Writes the figure, without what tells the machine; returns the file's name."""
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
    return path.name


@contextlib.contextmanager
def for_print(context: KPerfContext) -> Iterator[KPerfContext]:
    """Settings of npusim's own for figures drawn inside, and the context in a language that a font here can write."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        family = _family_for("".join(context.say(chart.title) for chart in CHARTS))
        if family is None:
            yield replace(context, say=speaker(ENGLISH))
        else:
            matplotlib.rcParams["font.family"] = [family, *matplotlib.rcParams["font.family"]]
            yield context


def _family_for(text: str) -> str | None:
    """The first family of fonts that has every character: matplotlib's own, else by name; None where none has."""
    if text.isascii():
        return "DejaVu Sans"
    known = [entry for entry in fontManager.ttflist if not entry.name.startswith(_PLACEHOLDERS)]
    entries = sorted(known, key=lambda entry: (entry.name != "DejaVu Sans", entry.name, entry.fname))
    wanted = {ord(letter) for letter in text}
    families = {entry.name: entry.fname for entry in reversed(entries)}
    return next((name for name in reversed(families) if wanted <= set(get_font(families[name]).get_charmap())), None)


def _draw(chart: GridChart, rows: pd.DataFrame, shown: pd.DataFrame, context: KPerfContext) -> Figure:
    figure = Figure(figsize=(9.0, 5.4), dpi=180)
    axes = figure.add_axes((0.1, 0.165, 0.695, 0.685))
    intervals = False
    for index, (isl, osl) in enumerate(shapes(rows)):
        line = shown[(shown["isl"] == isl) & (shown["osl"] == osl)]
        if not line.empty:
            intervals |= _draw_line(axes, chart, line, _style(index), shape_text(isl, osl))
    say = context.say
    axes.set_xlabel(column(chart.x).label_in(say), fontsize=11)
    axes.set_ylabel(column(chart.y).label_in(say), fontsize=11)
    axes.tick_params(labelsize=10)
    axes.grid(True, which="major", color="#d9d9d9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _scale(axes, chart, shown)
    axes.legend(
        title=say("Input / output tokens"),
        loc="upper left",
        bbox_to_anchor=(1.015, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=9.5,
        title_fontsize=9.5,
        handlelength=3.2,
    )
    head(figure, chart.title, rows, context)
    figure.text(0.02, 0.02, _footnote(chart, rows, shown, context, intervals), fontsize=9, color="#333333")
    return figure


def head(figure: Figure, title: str, rows: pd.DataFrame, context: KPerfContext) -> None:
    """Chip and title, and below them what was predicted."""
    say = context.say
    shown = f"{context.chip_title}: {say(title)} ({say('prediction')})"
    figure.text(0.02, 0.945, shown, fontsize=13, weight="bold")
    figure.text(0.02, 0.9, rows_configuration_text(rows), fontsize=10, color="#333333")


def not_measured(context: KPerfContext) -> str:
    """The sentence that no chart is without."""
    return context.say("Predicted by npusim, not measured. Grid: {grid} (npusim's own choice).", grid=context.grid_name)


def watts_text(rows: pd.DataFrame, say: Say) -> str:
    """Whose power is meant."""
    return say("Watts: {scopes}; not server or wall power.", scopes=", ".join(rows["power_scope"].dropna().unique()))


def _draw_line(axes: Axes, chart: GridChart, line: pd.DataFrame, style: Style, label: str) -> bool:
    """Draws one shape; True when it has an interval."""
    x, y = line[chart.x].to_numpy(float), line[chart.y].to_numpy(float)
    across, along = reach(line, chart.x), reach(line, chart.y)
    if along is not None and chart.x == "users" and len(line) > 1:
        axes.fill_between(x, y - along[0], y + along[1], color=style.colour, alpha=0.13, linewidth=0)
    elif along is not None or across is not None:
        axes.errorbar(x, y, yerr=along, xerr=across, fmt="none", ecolor=style.colour, elinewidth=0.8, capsize=2)
    axes.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linewidth=1.6,
        label=label,
    )
    return along is not None or across is not None


def _footnote(chart: GridChart, rows: pd.DataFrame, shown: pd.DataFrame, context: KPerfContext, intervals: bool) -> str:
    absent, say = len(rows) - len(shown), context.say
    first = [not_measured(context)]
    if chart.y == "tokens_per_joule":
        first.append(watts_text(rows, say))
    second = [say("Shading or bars: 90 % interval.") if intervals else say("No intervals.")]
    if absent:
        text = "{absent} of {all} points not predicted and left out; the table gives reasons."
        second.append(say(text, absent=absent, all=len(rows)))
    return f"{' '.join(first)}\n{' '.join(second)}"


def _scale(axes: Axes, chart: GridChart, shown: pd.DataFrame) -> None:
    axes.set_xscale("log", base=2)
    if chart.x == "users":
        users = sorted({int(value) for value in shown["users"]})
        axes.set_xlim(users[0] / 1.25, users[-1] * 1.25)
        axes.xaxis.set_major_locator(FixedLocator(_spaced(users)))
    if chart.log_y:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=_ticks(math.log10(high / low)), numticks=20))
    else:
        axes.set_ylim(0, None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _ticks(decades: float) -> tuple[float, ...]:
    """Labelled multiples of each power of ten, fewer over a longer axis."""
    for most, multiples in ((1.3, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (3.0, (1.0, 2.0, 5.0)), (4.5, (1.0, 3.0))):
        if decades < most:
            return multiples
    return (1.0,)


def _spaced(users: list[int]) -> list[int]:
    """User counts far enough apart on a logarithmic axis for their labels not to touch."""
    kept: list[int] = []
    gap = max((users[-1] / users[0]) ** (1 / 24), 1.0)
    for count in users:
        if not kept or count >= kept[-1] * gap:
            kept.append(count)
    return kept


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
    book: Any, chart: GridChart, rows: pd.DataFrame, table: SheetTable, context: KPerfContext
) -> Any | None:
    """The chart as a native spreadsheet chart over `table`, or None when no point can be shown.

    book: xlsxwriter Workbook; rows: one model's rows, numbered from 0 in the order of the sheet.
    """
    shown = points(rows, chart)
    if shown.empty:
        return None
    drawn = book.add_chart({"type": "scatter", "subtype": "straight_with_markers"})
    for index, (isl, osl) in enumerate(shapes(rows)):
        line = shown[(shown["isl"] == isl) & (shown["osl"] == osl)]
        if not line.empty:
            drawn.add_series(_series(chart, line, table, _style(index), f"{isl:,} in / {osl:,} out"))
    say, model = context.say, rows["model_title"].iloc[0]
    title = f"{context.chip_title}, {model}: {say(chart.title)} ({say('prediction')})"
    drawn.set_title({"name": chart_title(title), "name_font": {"size": 10, "bold": True}, "overlay": False})
    x_axis, y_axis = _axis(chart.x, True, shown, say), _axis(chart.y, chart.log_y, shown, say)
    x_axis["crossing"], y_axis["crossing"] = x_axis["min"], y_axis["min"]
    drawn.set_x_axis(x_axis)
    drawn.set_y_axis(y_axis)
    drawn.set_legend({"position": "right", "font": {"size": 9}})
    drawn.set_size({"width": 600, "height": 380})
    drawn.show_blanks_as("gap")
    return drawn


def _series(chart: GridChart, line: pd.DataFrame, table: SheetTable, style: Style, label: str) -> dict[str, Any]:
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
        distance = reach(line, metric)
        if distance is not None:
            series[f"{axis}_error_bars"] = {
                "type": "custom",
                "minus_values": [float(value) for value in distance[0]],
                "plus_values": [float(value) for value in distance[1]],
                "line": {"color": style.colour, "width": 0.75},
            }
    return series


def _axis(name: str, logarithmic: bool, shown: pd.DataFrame, say: Say) -> dict[str, Any]:
    """Axis from zero, or from whole power to whole power of 2 (10 where powers of 2 would crowd it)."""
    held = [name] + [f"{name}_{side}" for side in ("low", "high") if f"{name}_{side}" in shown]
    values = shown[held].to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    axis: dict[str, Any] = {
        "name": column(name).label_in(say),
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
    return axis | scale | {"max": top * room, "num_format": "#,##0" if bottom >= 0 else "General"}


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... (and their tenths) that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))
