"""The K-Perf charts, drawn twice from one description: PNG files for print here, native ones by `native_charts`.

Both show one line per shape (input / output tokens) over the predicted cells of one model, with the 90 %
interval where the cells have one. Lines differ by colour, marker and dash and so hold in black and white.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from npusim.kperf.sheets import half_widths
from npusim.kperf.table import (
    KPerfContext,
    as_read,
    predicted,
    rows_configuration_text,
    shape_text,
    shapes,
)
from npusim.metrics import METRICS
from npusim.scales import grid_ticks, multiples
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

_ROOM, _TITLE_ROOM = 130, 76
"""Half-width characters of a line of notes and of a title."""
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


def style_of(index: int) -> Style:
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
    with for_print(context) as spoken:
        return [
            save(_draw(chart, rows, spoken), folder / f"{stem}-{chart.slug}.png")
            for chart in CHARTS
            if not points(rows, chart).empty
        ]


def save(figure: Figure, path: Path) -> str:
    """Writes the figure, without what tells the machine; returns the file's name."""
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
    return path.name


@contextlib.contextmanager
def for_print(context: KPerfContext) -> Iterator[KPerfContext]:
    """Settings of npusim's own for figures drawn inside, and the context in a language that a font here can write."""
    with in_print(context.say) as say:
        yield replace(context, say=say)


@contextlib.contextmanager
def in_print(say: Say) -> Iterator[Say]:
    """Settings of npusim's own for figures drawn inside, and what speaks there: English where no font here writes the
    language of `say`."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        family = _family_for("".join(say(chart.title) for chart in CHARTS))
        if family is None:
            yield speaker(ENGLISH)
        else:
            matplotlib.rcParams["font.family"] = [family, *matplotlib.rcParams["font.family"]]
            yield say


def _family_for(text: str) -> str | None:
    """The first family of fonts that has every character: matplotlib's own, else by name; None where none has."""
    if text.isascii():
        return "DejaVu Sans"
    known = [entry for entry in fontManager.ttflist if not entry.name.startswith(_PLACEHOLDERS)]
    entries = sorted(known, key=lambda entry: (entry.name != "DejaVu Sans", entry.name, entry.fname))
    wanted = {ord(letter) for letter in text}
    families = {entry.name: entry.fname for entry in reversed(entries)}
    return next((name for name in reversed(families) if wanted <= set(get_font(families[name]).get_charmap())), None)


def _draw(chart: GridChart, rows: pd.DataFrame, context: KPerfContext) -> Figure:
    """One chart of a model's rows, of which at least one can be shown."""
    x, shown = as_read(points(rows, chart), chart.x)
    y, shown = as_read(shown, chart.y)
    figure = Figure(figsize=(9.0, 5.4), dpi=180)
    axes = figure.add_axes((0.105, 0.185, 0.69, 0.665))
    intervals = False
    for index, (isl, osl) in enumerate(shapes(rows)):
        line = shown[(shown["isl"] == isl) & (shown["osl"] == osl)]
        if not line.empty:
            intervals |= _draw_line(axes, chart, line, style_of(index), shape_text(isl, osl))
    say = context.say
    axes.set_xlabel(x.label_in(say), fontsize=11)
    axes.set_ylabel(y.label_in(say), fontsize=11)
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
    foot(figure, _notes(chart, rows, shown, context, intervals))
    return figure


def head(figure: Figure, title: str, rows: pd.DataFrame, context: KPerfContext) -> None:
    """Chip and title, and below them what was predicted."""
    say = context.say
    shown = f"{say(context.chip_title)}: {say(title)} ({say('prediction')})"
    about = say(rows_configuration_text(rows))
    figure.text(0.02, 0.945, shown, fontsize=_fitting(shown, 13.0, _TITLE_ROOM), weight="bold")
    figure.text(0.02, 0.9, about, fontsize=_fitting(about, 10.0, _ROOM), color="#333333")


def _fitting(text: str, size: float, room: int) -> float:
    """The size of letters at which a line has room, where at most `room` half-width ones of `size` have."""
    return size * min(1.0, room / half_widths(text))


def foot(figure: Figure, notes: Sequence[str], room: int = _ROOM) -> None:
    """Notes at the foot of a chart, in as many lines as they take. room: half-width characters of a line."""
    lines = [line for note in notes for line in wrapped(note, room)]
    figure.text(0.02, 0.02, "\n".join(lines), fontsize=8.5, color="#333333", linespacing=1.15)


def wrapped(text: str, room: int) -> list[str]:
    """Lines of at most `room` half-width characters: letters of Korean are as wide as two."""
    lines = [""]
    for word in text.split():
        if lines[-1] and half_widths(f"{lines[-1]} {word}") > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


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


def _notes(
    chart: GridChart, rows: pd.DataFrame, shown: pd.DataFrame, context: KPerfContext, intervals: bool
) -> list[str]:
    absent, say = len(rows) - len(shown), context.say
    notes = [not_measured(context)]
    if chart.y == "tokens_per_joule":
        notes.append(watts_text(rows, say))
    last = say("Shading or bars: 90 % interval.") if intervals else say("No intervals.")
    if absent:
        text = "{absent} of {all} points not predicted and left out; the table gives reasons."
        last = f"{last} {say(text, absent=absent, all=len(rows))}"
    return [*notes, last]


def _scale(axes: Axes, chart: GridChart, shown: pd.DataFrame) -> None:
    axes.set_xscale("log", base=2)
    if chart.x == "users":
        users = sorted({int(value) for value in shown["users"]})
        axes.set_xlim(users[0] / 1.25, users[-1] * 1.25)
        axes.xaxis.set_major_locator(FixedLocator(grid_ticks(users)))
    if chart.log_y:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=multiples(math.log10(high / low)), numticks=20))
    else:
        axes.set_ylim(0, None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
