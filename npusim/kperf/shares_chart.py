"""Where the time of a decode step goes, drawn for print: a bar a cell of the grid, made of the parts of its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npusim.kperf.charts import foot, for_print, head, not_measured, save
from npusim.kperf.shares import TITLE, known_shares, present_parts, shape_names
from npusim.kperf.table import KPerfContext
from npusim.words import Say

SLUG = "time-shares"
_LOOKS = (
    ("#0072B2", ""), ("#56B4E9", "///"), ("#009E73", "..."), ("#D55E00", "\\\\\\"), ("#E69F00", "xxx"),
    ("#BFBFBF", ""), ("#F0E442", "---"),
)  # fmt: skip
"""Colours with hatches, which differ in black and white too."""
_GAP = 1.0
"""Between the bars of two shapes, in bars."""
_MOST_NAMED = 6
"""Bars of a shape whose name has room on one line."""


def write_shares_chart(
    rows: pd.DataFrame, shares: pd.DataFrame, context: KPerfContext, stem: str, folder: Path
) -> list[str]:
    """Draws the chart of one model's rows in `folder`; returns its name, none where nothing was predicted."""
    if known_shares(shares, str(rows["model"].iloc[0])).empty:
        return []
    with for_print(context) as spoken:
        return [save(_draw(rows, shares, spoken), folder / f"{stem}-{SLUG}.png")]


def _draw(rows: pd.DataFrame, shares: pd.DataFrame, context: KPerfContext) -> Figure:
    """The chart of a model's rows, of which at least one was predicted."""
    say, told = context.say, known_shares(shares, str(rows["model"].iloc[0]))
    figure = Figure(figsize=(9.0, 5.4), dpi=180)
    axes = figure.add_axes((0.075, 0.33, 0.905, 0.5))
    places = _bars(axes, told, say)
    _name_shapes(axes, told, places)
    axes.set_xticks(places, [f"{int(users):,}" for users in told["users"]], fontsize=7.5, rotation=90)
    axes.set_ylabel(f"{say('Share')} [%]", fontsize=10)
    axes.set_xlabel(say("Users"), fontsize=10)
    axes.set_ylim(0, 100)
    axes.set_xlim(places[0] - 1, places[-1] + 1)
    axes.tick_params(axis="y", labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="lower center", bbox_to_anchor=(0.5, 0.085), ncols=4, frameon=False, fontsize=9)
    head(figure, TITLE, rows, context)
    foot(figure, [not_measured(context)])
    return figure


def _bars(axes: Axes, told: pd.DataFrame, say: Say) -> np.ndarray:
    """Draws the bars, those of one shape beside each other; where they stand."""
    names = shape_names(told)
    new = np.array([before != name for before, name in zip([names[0], *names], names, strict=False)])
    places = np.arange(len(told)) + _GAP * np.cumsum(new)
    below = np.zeros(len(told))
    for (column, name), (colour, hatch) in zip(present_parts(told), _LOOKS, strict=False):
        height = 100.0 * told[column].to_numpy(float)
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.4, "width": 0.86}
        axes.bar(places, height, bottom=below, label=say(name), **look)
        below = below + height
    return places


def _name_shapes(axes: Axes, told: pd.DataFrame, places: np.ndarray) -> None:
    """The shape above its bars."""
    named = pd.Series(places).groupby(shape_names(told), sort=False)
    for name, group in named:
        text = (
            str(name) if len(group) >= _MOST_NAMED or len(told) < 2 * _MOST_NAMED else str(name).replace(" / ", "/\n")
        )
        axes.text(group.mean(), 101.5, text, fontsize=8, ha="center", va="bottom")
