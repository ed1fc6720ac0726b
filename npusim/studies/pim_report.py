"""A comparison with and without PIM units as files: a table, a chart, and everything as JSON."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from npusim.errors import UserError
from npusim.studies.pim_compare import FIGURES, WITHOUT, Comparison
from npusim.studies.pim_deciders import Decider

DECIDERS = 3
_DRAWN_DECIDERS = 6
_TABLE, _CHART, _ANSWER = "pim-compare.csv", "pim-compare.png", "pim-compare.json"
_LABELS = {"output_tokens_per_s": "output tokens/s", "tokens_per_joule": "output tokens/J"}
_COLOURS = {"without": "#8EA9DB", "with": "#305496"}


def answer_of(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values; of each figure's deciders the first three."""
    return {
        "best_policy": comparison.best,
        **comparison.figures,
        "deciders": {
            name: [each.as_dict() for each in found[:DECIDERS]] for name, found in comparison.deciders.items()
        },
        "policies": comparison.variants,
    }


def write_comparison(comparison: Comparison, answer: dict[str, Any], title: str, note: str, folder: Path) -> list[Path]:
    """Write table, chart and JSON into `folder`, whole or not at all; returns the files. Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".pim-", dir=folder))
    except OSError as error:
        raise UserError("--out", "", f"{folder} cannot be written ({error.strerror}); give another folder") from error
    try:
        table(comparison).to_csv(draft / _TABLE, index=False, lineterminator="\n")
        _draw(comparison, title, note, draft / _CHART)
        text = json.dumps(answer, indent=2, allow_nan=False)
        (draft / _ANSWER).write_text(text + "\n", encoding="utf-8")
        for name in (_TABLE, _CHART, _ANSWER):
            os.replace(draft / name, folder / name)
    finally:
        shutil.rmtree(draft)
    return [folder / name for name in (_TABLE, _CHART, _ANSWER)]


def table(comparison: Comparison) -> pd.DataFrame:
    """A row a policy; intervals for the board without units and for the best policy."""
    rows = []
    for name, figures in comparison.variants.items():
        row: dict[str, Any] = {"policy": name, "fits": figures is not None, **(figures or {})}
        side = {WITHOUT: "without", comparison.best: "with"}.get(name)
        for figure in FIGURES if side else ():
            ranged = comparison.figures[side][figure] if side else {}
            row |= {f"{figure}_low": ranged["low"], f"{figure}_high": ranged["high"]}
        rows.append(row)
    return pd.DataFrame(rows)


def _draw(comparison: Comparison, title: str, note: str, path: Path) -> None:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(12.0, 6.2), dpi=110)
        FigureCanvasAgg(figure)
        margins = {"left": 0.06, "right": 0.97, "top": 0.8, "bottom": 0.2, "wspace": 0.75}
        places = figure.add_gridspec(1, 3, width_ratios=(1, 1, 2), **margins)
        for place, name in enumerate(_LABELS):
            _bars(figure.add_subplot(places[0, place]), comparison, name)
        _tornado(figure.add_subplot(places[0, 2]), comparison)
        figure.text(0.02, 0.94, title, fontsize=13, weight="bold")
        figure.text(0.02, 0.895, "PREDICTION; 90 % intervals from the ranges of the assumptions", fontsize=10)
        figure.text(0.02, 0.03, note, fontsize=8.5, color="#333333", wrap=True)
        figure.savefig(path, metadata={"Software": None})


def _bars(axes: Axes, comparison: Comparison, name: str) -> None:
    for place, side in enumerate(("without", "with")):
        ranged = comparison.figures[side][name]
        reach = [[ranged["value"] - ranged["low"]], [ranged["high"] - ranged["value"]]]
        axes.bar(place, ranged["value"], width=0.6, color=_COLOURS[side])
        axes.errorbar(place, ranged["value"], yerr=reach, fmt="none", ecolor="#333333", capsize=4)
        told = f"{ranged['value']:.3g}"
        axes.annotate(told, (place, 0.0), (0, 6), textcoords="offset points", ha="center", color="white", weight="bold")
    axes.set_xticks((0, 1), ("no PIM", f"PIM: {comparison.best}"), fontsize=9)
    axes.set_ylabel(_LABELS[name])
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def _tornado(axes: Axes, comparison: Comparison) -> None:
    """What the gain in tokens/s becomes at the ends of the numbers that move it most."""
    value = comparison.figures["gain"]["speedup"]["value"]
    shown = comparison.deciders["speedup"][:_DRAWN_DECIDERS][::-1]
    for place, each in enumerate(shown):
        low, high = sorted((value * each.at_low, value * each.at_high))
        axes.barh(place, high - low, left=low, height=0.55, color="#F4B183")
    axes.axvline(value, color="#333333", linewidth=1.0)
    axes.set_yticks(range(len(shown)), [_label(each) for each in shown], fontsize=8)
    axes.set_xlabel("gain in tokens/s, each number alone over its range")
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def _label(each: Decider) -> str:
    path = each.path.removeprefix("chip.")
    return f"{path}\n{each.quantity.low:.4g} ... {each.quantity.high:.4g} {each.quantity.unit}".rstrip()
