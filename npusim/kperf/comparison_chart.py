"""Chips side by side, drawn for print: a bar a chip in a panel for each scale, with its interval, on the same axes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npusim.kperf.charts import for_print, not_measured, reach, save, wrapped
from npusim.kperf.comparison import SCALES, Scale, chosen_cells
from npusim.kperf.sheets import half_widths
from npusim.kperf.table import KPerfContext, shape_text, unique_names
from npusim.units import W_PER_KW
from npusim.words import Say

_SILICON, _PROJECTION = "#0072B2", "#E69F00"
_ACROSS = 3
_WIDTH, _INCHES_PER_LETTER, _LETTERS_PER_LINE = 11.7, 0.072, 150
_LETTERS_OF_NAME = 40
"""Of a chip's name in one line."""


def write_comparison_charts(rows: pd.DataFrame, context: KPerfContext, folder: Path) -> list[str]:
    """Draws a chart of each model's chosen cell in `folder`, which it makes; returns their names."""
    shown = [own for _, own in chosen_cells(rows).groupby("model", sort=False)]
    stems = unique_names([str(own["model"].iloc[0]) for own in shown], r"[^A-Za-z0-9._-]+", 80)
    folder.mkdir()
    with for_print(context) as spoken:
        return [
            save(_draw(own, spoken), folder / f"{stem}-comparison.png")
            for own, stem in zip(shown, stems, strict=True)
        ]  # fmt: skip


def heading(rows: pd.DataFrame, say: Say) -> str:
    """Which cell of which model is compared."""
    first = rows.iloc[0]
    return say(
        "{model}: {shape} tokens, {users} users an instance",
        model=first["model_title"],
        shape=shape_text(int(first["isl"]), int(first["osl"])),
        users=int(first["users"]),
    )


def _draw(rows: pd.DataFrame, context: KPerfContext) -> Figure:
    say = context.say
    rows = rows.assign(chip_title=rows["chip_title"].map(say))
    names = [wrapped(title, _LETTERS_OF_NAME) for title in rows["chip_title"]]
    lines = [line for note in (not_measured(context), *_notes(rows, say)) for line in wrapped(note, _LETTERS_PER_LINE)]
    foot = 0.55 + 0.17 * len(lines)
    height = 1.75 + foot + 2 * max(1.2, (0.23 + 0.17 * max(map(len, names))) * len(rows))
    figure = Figure(figsize=(_WIDTH, height), dpi=160)
    panels = figure.subplots(2, _ACROSS, sharey=True, squeeze=False)
    left = (0.3 + _INCHES_PER_LETTER * max(half_widths(line) for name in names for line in name)) / _WIDTH
    figure.subplots_adjust(left=left, right=0.975, top=1 - 1.1 / height, bottom=foot / height, hspace=0.62, wspace=0.12)
    for scale, axes in zip(SCALES, panels.flat, strict=True):
        _bars(axes, rows, scale, say)
    figure.text(0.01, 1 - 0.36 / height, f"{heading(rows, say)} ({say('prediction')})", fontsize=13, weight="bold")
    figure.text(0.01, 0.08 / height, "\n".join(lines), fontsize=8.5, color="#333333")
    return figure


def _notes(rows: pd.DataFrame, say: Say) -> Iterator[str]:
    """How to read the bars; and racks, which differ by what power they are fed with."""
    yield say("Blue: silicon. Orange, hatched: a projection of a chip that does not exist yet. Bars: 90 % interval.")
    known = rows[rows["rack_w"].notna()]
    racks = ", ".join(f"{row['chip_title']} {row['rack_w'] / W_PER_KW:g} kW" for row in known.to_dict("records"))
    if racks:
        yield say("Racks at the wall: {racks}.", racks=racks)


def _bars(axes: Axes, rows: pd.DataFrame, scale: Scale, say: Say) -> None:
    """Chips from the top down in the order in which they were named; words where there is no figure."""
    values = rows[scale.name].to_numpy(float)
    known = np.isfinite(values)
    at = np.arange(len(rows))[::-1]
    looks = [_look(kind) for kind in rows["kind"]]
    for place in np.flatnonzero(known):
        axes.barh(at[place], values[place], height=0.66, **looks[place])
    _intervals(axes, rows[known], at[known], values[known], scale)
    for place in np.flatnonzero(~known):
        axes.text(0.01, at[place], say(_why(rows.iloc[place], scale)), transform=axes.get_yaxis_transform(), fontsize=8,
                  va="center", color="#7F7F7F", style="italic")  # fmt: skip
    axes.set_yticks(at, [_named(row, say) for row in rows.to_dict("records")], fontsize=8.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, None if known.any() else 1)
    axes.set_title(f"{say(scale.heading)}\n[{say(scale.unit)}]", fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=8)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.grid(True, axis="x", color="#d9d9d9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _look(kind: str) -> dict[str, Any]:
    if kind == "silicon":
        return {"color": _SILICON}
    return {"color": _PROJECTION, "hatch": "///", "edgecolor": "white"}


def _intervals(axes: Axes, rows: pd.DataFrame, at: np.ndarray, values: Sequence[float], scale: Scale) -> None:
    along = reach(rows, scale.name)
    if along is not None:
        axes.errorbar(values, at, xerr=along, fmt="none", ecolor="#000000", elinewidth=0.9, capsize=2.5)


def _named(row: Mapping[Hashable, Any], say: Say) -> str:
    """Chip, cards and precision of a bar."""
    cards, precision = int(row["cards"]), row["precision"]
    told = say("{cards} cards, {precision}", cards=cards, precision=precision)
    name = "\n".join(wrapped(row["chip_title"], _LETTERS_OF_NAME))
    return f"{name}\n{say('one card, {precision}', precision=precision) if cards == 1 else told}"


def _why(row: pd.Series, scale: Scale) -> str:
    """Why there is no bar."""
    if row["status"] != "predicted":
        return "not predicted: see the table"
    if int(row["instances"]) == 0 and scale.name.startswith(("per_server", "per_rack")):
        return "more cards than a server has"
    return "server's own watts unknown" if np.isnan(row["server_w"]) else "unknown"
