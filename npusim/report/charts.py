"""Interactive charts of the reports, all in one style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_TICKS = [digit * 10.0**power for power in range(-6, 10) for digit in (1, 2, 5)]
_LOG = {"type": "log", "tickvals": _TICKS, "ticktext": [f"{value:,.10g}" for value in _TICKS]}
"""A logarithmic axis with a label at 1, 2 and 5 of every power of ten."""


def layout(figure: go.Figure, x: str, y: str, *, log_x: bool = False, log_y: bool = False) -> go.Figure:
    """Give `figure` its axes' titles and scales and the common style."""
    figure.update_layout(
        template="plotly_white",
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        font={"family": "system-ui, sans-serif", "size": 13},
        colorway=list(COLOURS),
    )
    figure.update_xaxes(title=x, **(_LOG if log_x else {}))
    figure.update_yaxes(title=y, **(_LOG if log_y else {}))
    return figure


def line_chart(
    frame: pd.DataFrame, x: str, y: str, by: Sequence[str], *, log_x: bool, log_y: bool, titles: tuple[str, str]
) -> go.Figure:
    """One line of `y` against `x` for each value of `by`, with the interval `<y>_low` ... `<y>_high` where known."""
    figure = go.Figure()
    for keys, group in frame.groupby(list(by), sort=False):
        ordered = group.sort_values(x)
        figure.add_scatter(
            x=ordered[x].tolist(),
            y=ordered[y].tolist(),
            name=" / ".join(str(key) for key in keys),
            mode="lines+markers",
            error_y=_reach(ordered, y),
        )
    return layout(figure, *titles, log_x=log_x, log_y=log_y)


def _reach(frame: pd.DataFrame, y: str) -> dict[str, object] | None:
    if f"{y}_low" not in frame:
        return None
    value = frame[y].to_numpy(float)
    up = np.nan_to_num(frame[f"{y}_high"].to_numpy(float) - value).clip(min=0.0)
    down = np.nan_to_num(value - frame[f"{y}_low"].to_numpy(float)).clip(min=0.0)
    return {"type": "data", "symmetric": False, "array": up.tolist(), "arrayminus": down.tolist(), "thickness": 1}


def tornado(
    names: Sequence[str],
    low: Sequence[float],
    high: Sequence[float],
    middle: float,
    title: str,
    labels: tuple[str, str] = ("at its low end", "at its high end"),
) -> go.Figure:
    """Bars from `low` to `high` around `middle`, the longest above. low, high: the figure where each name is least and
    most; labels: what these ends are called."""
    swing = np.abs(np.array(high) - np.array(low))
    order = np.argsort(swing, kind="stable")
    figure = go.Figure()
    for label, ends, colour in zip(labels, (low, high), COLOURS, strict=False):
        figure.add_bar(
            y=[names[index] for index in order],
            x=[ends[index] - middle for index in order],
            base=middle,
            orientation="h",
            name=label,
            marker={"color": colour},
        )
    figure.update_layout(barmode="overlay", height=max(320, 60 + 34 * len(order)))
    figure.update_yaxes(automargin=True)
    return layout(figure, title, "")
