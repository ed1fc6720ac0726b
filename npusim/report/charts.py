"""Interactive charts of the reports, all in one style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from npusim.scales import round_ticks

FONTS = 'system-ui, "Noto Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif'
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
PATTERNS = (
    ("#0072B2", ""), ("#56B4E9", "/"), ("#009E73", "."), ("#D55E00", "\\"), ("#E69F00", "x"), ("#CC79A7", "+"),
    ("#BFBFBF", ""), ("#F0E442", "-"),
)  # fmt: skip
"""Colours with patterns, which differ in black and white too."""


@dataclass(frozen=True)
class Axis:
    """title: with the unit; log: logarithmic; ticks: where labels stand, where the drawer is to choose none itself."""

    title: str
    log: bool = False
    ticks: Sequence[float] = ()

    @classmethod
    def holding(cls, title: str, values: Iterable[float], log: bool = True) -> Axis:
        """An axis with round numbers, logarithmic unless told otherwise, for values above zero."""
        known = [value for value in values if math.isfinite(value) and value > 0.0]
        return cls(title, log, round_ticks(known) if known and log else ())

    @property
    def settings(self) -> dict[str, Any]:
        """As the drawer takes them."""
        told: dict[str, Any] = {"title": self.title, "automargin": True}
        if self.log:
            told["type"] = "log"
        if self.ticks:
            told |= {"tickvals": list(self.ticks), "ticktext": [f"{value:,.10g}" for value in self.ticks]}
        return told


_ANY_LOG = [digit * 10.0**power for power in range(-6, 10) for digit in (1, 2, 5)]


def layout(figure: go.Figure, x: str | Axis, y: str | Axis, *, log_x: bool = False, log_y: bool = False) -> go.Figure:
    """Give `figure` its axes' titles and scales and the common style. Axes by their title alone have a label at 1, 2
    and 5 of every power of ten where they are logarithmic."""
    figure.update_layout(
        template="plotly_white",
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        font={"family": FONTS, "size": 13},
        colorway=list(COLOURS),
    )
    for given, log, put in ((x, log_x, figure.update_xaxes), (y, log_y, figure.update_yaxes)):
        put(**(given if isinstance(given, Axis) else Axis(given, log, _ANY_LOG if log else ())).settings)
    return figure


def line_chart(frame: pd.DataFrame, x: str, y: str, by: Sequence[str], axes: tuple[Axis, Axis]) -> go.Figure:
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
    return layout(figure, *axes)


def stacked_shares(
    groups: Sequence[str], members: Sequence[str], parts: Mapping[str, Sequence[float]], titles: tuple[str, str]
) -> go.Figure:
    """A bar a member, those of a group beside each other under its name. parts: fractions by their names."""
    new = [before != name for before, name in zip([groups[0], *groups], groups, strict=False)]
    places = [position + moved for position, moved in enumerate(accumulate(new))]
    figure = go.Figure()
    for (name, values), (colour, pattern) in zip(parts.items(), cycle(PATTERNS), strict=False):
        figure.add_bar(
            x=places,
            y=[100.0 * value for value in values],
            name=name,
            customdata=list(zip(groups, members, strict=True)),
            hovertemplate="%{customdata[0]} × %{customdata[1]}: %{y:.1f} %",
            marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": "#ffffff", "size": 6}},
        )
    for group in dict.fromkeys(groups):
        held = [place for place, name in zip(places, groups, strict=True) if name == group]
        text = group.replace(" / ", " /<br>")
        middle = (held[0] + held[-1]) / 2
        figure.add_annotation(x=middle, y=100, text=text, showarrow=False, yanchor="bottom", font={"size": 10})
    figure.update_layout(barmode="stack", bargap=0.12, height=440)
    layout(figure, titles[0], titles[1])
    figure.update_xaxes(tickvals=places, ticktext=list(members), tickangle=-90, tickfont={"size": 10})
    figure.update_yaxes(range=[0, 100])
    return figure.update_layout(legend={"y": 1.14}, margin={"t": 110})


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
