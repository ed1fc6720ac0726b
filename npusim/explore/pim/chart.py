"""A comparison with and without PIM units as a picture: both figures, their gains, and what decides each gain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from npusim.explore.pim.compare import COMPARED, PimComparison
from npusim.explore.pim.deciders import GAINS, PimDecider
from npusim.ledger import range_text

DECIDERS = 3
_COLOURS = {"without": "#8EA9DB", "with": "#305496"}
_SWING_COLOUR = "#F4B183"
_INK = "#333333"


@dataclass(frozen=True)
class Caption:
    """title: what runs on what; load: how; standing: whether the design exists; note: what the figures rest on."""

    title: str
    load: str
    standing: str
    note: str


def draw_pim_chart(comparison: PimComparison, caption: Caption, path: Path) -> None:
    """Write the picture: a row for each figure, its bars on the left, the deciders of its gain on the right."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        figure = Figure(figsize=(12.0, 7.6), dpi=110)
        FigureCanvasAgg(figure)
        margins = {"left": 0.07, "right": 0.97, "top": 0.83, "bottom": 0.17, "wspace": 0.85, "hspace": 0.5}
        grid = figure.add_gridspec(len(GAINS), 2, width_ratios=(1, 1.4), **margins)
        for row, (name, gain) in enumerate(GAINS.items()):
            _bars(figure.add_subplot(grid[row, 0]), comparison, name)
            _swings(figure.add_subplot(grid[row, 1]), comparison, gain, _axis(name))
        figure.text(0.02, 0.955, caption.title, fontsize=12.5, weight="bold")
        figure.text(0.02, 0.92, f"{caption.load}; 90 % intervals from the ranges of all numbers", fontsize=10)
        figure.text(0.02, 0.89, caption.standing, fontsize=10, color="#C00000")
        figure.text(0.02, 0.03, caption.note, fontsize=8.5, color=_INK, wrap=True)
        figure.savefig(path, metadata={"Software": None})


def _bars(axes: Axes, comparison: PimComparison, name: str) -> None:
    for index, side in enumerate(("without", "with")):
        ranged = comparison.figures[side][name]
        reach = [[ranged["value"] - ranged["low"]], [ranged["high"] - ranged["value"]]]
        axes.barh(-index, ranged["value"], height=0.6, color=_COLOURS[side])
        axes.errorbar(ranged["value"], -index, xerr=reach, fmt="none", ecolor=_INK, capsize=4)
        told = f"{ranged['value']:.3g}"
        within: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": "white", "weight": "bold"}
        axes.annotate(told, (0.0, -index), (6, 0), **within)
    axes.set_yticks((0, -1), ("no PIM", f"PIM:\n{comparison.best}"), fontsize=9)
    axes.set_xlabel(_axis(name))
    gain = comparison.figures["gain"][GAINS[name]]
    axes.set_title(f"{gain['value']:.3g} times ({gain['low']:.3g} to {gain['high']:.3g})", fontsize=10.5, loc="left")
    _bare(axes)


def _swings(axes: Axes, comparison: PimComparison, gain: str, label: str) -> None:
    """What the gain becomes at the ends of the numbers that move it most."""
    value = comparison.figures["gain"][gain]["value"]
    shown = comparison.deciders[gain][:DECIDERS][::-1]
    for index, each in enumerate(shown):
        ends = sorted((value, value * each.at_low, value * each.at_high))
        axes.barh(index, ends[-1] - ends[0], left=ends[0], height=0.55, color=_SWING_COLOUR)
    axes.axvline(value, color=_INK, linewidth=1.0)
    axes.use_sticky_edges = False
    axes.margins(x=0.08)
    axes.set_yticks(range(len(shown)), [_label(each) for each in shown], fontsize=8.5)
    axes.set_xlabel(f"gain in {label}, each number alone over its range")
    axes.set_title("What decides the gain", fontsize=10.5, loc="left")
    _bare(axes)


def _bare(axes: Axes) -> None:
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def _axis(name: str) -> str:
    return f"output {COMPARED[name].unit}"


def _label(each: PimDecider) -> str:
    path = each.path.removeprefix("chip.")
    return f"{path}, {each.quantity.kind}\n{range_text(each.quantity.model_dump())}"
