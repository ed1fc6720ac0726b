"""What the energy of an output token is spent on, drawn for print: a bar a shape, alone and under full load.

The two loads have an axis each, since a token of one user alone takes many times the energy. Components differ by
colour (Okabe and Ito's, which hold for the colour-blind) and by hatch, and so hold in black and white.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npusim.kperf.charts import foot, for_print, head, not_measured, save, watts_text
from npusim.kperf.table import KPerfContext, predicted, shape_text, shapes
from npusim.metric_row import Metric
from npusim.metrics import SPENT
from npusim.words import Say

SLUG = "energy-by-component"
TITLE = "energy of an output token by component"
_LOOKS = {
    "arithmetic": ("#0072B2", ""),
    "sram": ("#56B4E9", "///"),
    "noc": ("#009E73", "..."),
    "dram": ("#D55E00", "\\\\\\"),
    "pim": ("#E69F00", "xxx"),
    "link": ("#CC79A7", "++"),
    "static": ("#BFBFBF", ""),
    "conversion": ("#F0E442", "---"),
}
"""Colour and hatch of each component, by the beginning of its column."""


def write_energy_chart(rows: pd.DataFrame, context: KPerfContext, stem: str, folder: Path) -> list[str]:
    """Draws the chart of one model's rows in `folder`; returns its name, none where nothing was predicted."""
    if predicted(rows).empty:
        return []
    with for_print(context) as spoken:
        return [save(_draw(rows, spoken), folder / f"{stem}-{SLUG}.png")]


def _draw(rows: pd.DataFrame, context: KPerfContext) -> Figure:
    """The chart of a model's rows, of which at least one was predicted."""
    say, done = context.say, predicted(rows)
    figure = Figure(figsize=(9.0, 5.4), dpi=180)
    head(figure, TITLE, rows, context)
    panels = [figure.add_axes((left, 0.29, 0.31, 0.51)) for left in (0.165, 0.67)]
    ends = [_end(done, largest) for largest in (False, True)]
    parts = [part for part in SPENT if (done[part.name] > 0).any()]
    for axes, end, title in zip(panels, ends, (say("Fewest users"), say("Most users")), strict=True):
        _bars(axes, end, parts, say)
        axes.set_title(title, fontsize=11, loc="left")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="lower center", bbox_to_anchor=(0.5, 0.085), ncols=4, frameon=False, fontsize=9.5, handlelength=2.4,
    )  # fmt: skip
    foot(figure, [not_measured(context), watts_text(rows, say)])
    return figure


def _end(done: pd.DataFrame, largest: bool) -> pd.DataFrame:
    """The row of each shape with its fewest, or most, users."""
    found = []
    for isl, osl in shapes(done):
        own = done[(done["isl"] == isl) & (done["osl"] == osl)].sort_values("users")
        found.append(own.iloc[-1 if largest else 0])
    return pd.DataFrame(found)


def _bars(axes: Axes, rows: pd.DataFrame, parts: list[Metric], say: Say) -> None:
    """A bar a shape from the top, its components from the left."""
    places = range(len(rows))
    left = np.zeros(len(rows))
    for part in parts:
        colour, hatch = _LOOKS[part.name.partition("_")[0]]
        width = rows[part.name].to_numpy(float)
        label = say(part.label).partition(", ")[2]
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.6, "height": 0.7}
        axes.barh(places, width, left=left, label=label, **look)
        left = left + width
    loads = zip(rows["isl"], rows["osl"], rows["users"], strict=True)
    named = [f"{shape_text(isl, osl)} × {users:,}" for isl, osl, users in loads]
    axes.set_yticks(places, named, fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlabel("mJ", fontsize=10)
    axes.tick_params(axis="x", labelsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(True, axis="x", color="#d9d9d9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
