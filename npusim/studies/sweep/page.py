"""The report of a sweep: its front, what moves each objective, its limits and method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from npusim.studies.report.charts import layout, tornado
from npusim.studies.report.page import Block, Chart, Page, Section, Text, table_of
from npusim.studies.sweep.run import WORKLOAD, SweepResult
from npusim.studies.sweep.tasks import DEPLOYED

_MOST_ROWS = 200
SPREAD = [name for name in DEPLOYED if name != "model"]
_METHOD = {
    "grid": "every combination of the listed values",
    "latin-hypercube": "a Latin hypercube over the ranges",
    "sobol": "a scrambled Sobol sequence over the ranges",
}


def sweep_page(result: SweepResult, notes: list[str], manifest: Mapping[str, Any]) -> Page:
    """The report. notes: what every reader of the predictions must know."""
    spec = result.spec
    summary = [
        f"{spec.designs:,} designs of {spec.arch} ({_METHOD[spec.method]}), {result.points:,} points with models, "
        f"precisions, cards and loads; {result.kept:,} keep every limit, {result.served:,} were served request by "
        "request.",
        *notes,
    ]
    sections = [
        Section("Pareto front", list(_front_blocks(result))),
        Section("What moves the objectives", list(_effect_blocks(result))),
        Section("How it was made", list(_method_blocks(result))),
    ]
    return Page(f"Sweep: {spec.name}", summary, sections, manifest)


def _front_blocks(result: SweepResult) -> Iterator[Block]:
    if result.front.empty:
        yield Text("No point keeps every limit.", "warning")
        return
    names = list(result.spec.objectives)
    columns = [*WORKLOAD, *SPREAD, "design", *result.axes, *names]
    if len(names) > 1:
        yield Chart(f"The front: {names[1]} against {names[0]}; hover for the design.", _front_chart(result))
    shown = result.front[columns].head(_MOST_ROWS)
    more = len(result.front) - len(shown)
    yield table_of(f"Points that no other beats in every objective; varied numbers in SI units{_rest(more)}.", shown)


def _rest(more: int) -> str:
    return f" ({more:,} more in pareto.csv)" if more > 0 else ""


def _front_chart(result: SweepResult) -> go.Figure:
    first, second = list(result.spec.objectives)[:2]
    figure = go.Figure()
    for keys, group in result.front.groupby(WORKLOAD, sort=False):
        model, isl, osl, users = keys
        told = ["<br>".join(f"{axis} = {row[axis]:.4g}" for axis in result.axes) for _, row in group.iterrows()]
        figure.add_scatter(
            x=group[first].tolist(),
            y=group[second].tolist(),
            text=told,
            mode="markers",
            name=f"{model} {isl}/{osl} x {users}",
            hovertemplate="%{x:.4g}, %{y:.4g}<br>%{text}",
        )
    return layout(figure, first, second)


def _effect_blocks(result: SweepResult) -> Iterator[Block]:
    yield Text(
        "First-order index: the part of an objective's variance that one number explains alone (random balance "
        "designs; '-' below 64 points). The bars lead from the objective's mean over the tenth of designs with the "
        "least value of a number to that over the tenth with the greatest.",
        "note",
    )
    for keys, group in result.effects.groupby([*WORKLOAD, *SPREAD], sort=False):
        for objective, rows in group.groupby("objective", sort=False):
            if (rows["at_low"] != rows["at_high"]).any():
                yield _tornado(str(objective), keys, rows)
    told = ["model", "isl", "osl", "users", "objective", "axis", "first_order", "first_order_conf", "at_low", "at_high"]
    table = result.effects[told]
    yield table_of("Effects; all rows in effects.csv.", table.head(_MOST_ROWS), digits=3)


def _tornado(objective: str, keys: tuple[Any, ...], rows: pd.DataFrame) -> Chart:
    model, isl, osl, users, precision, cards, plan, _ = keys
    low, high = rows["at_low"].tolist(), rows["at_high"].tolist()
    middle = float(rows["mean"].iloc[0])
    caption = f"{objective}: {model} {precision}, {cards} cards ({plan}), {isl}/{osl} x {users} users."
    return Chart(caption, tornado(rows["axis"].tolist(), low, high, middle, objective))


def _method_blocks(result: SweepResult) -> Iterator[Block]:
    spec = result.spec
    axes = pd.DataFrame(
        {
            "number": list(spec.vary),
            "values": [
                ", ".join(str(value) for value in axis.values) if axis.values else f"{axis.low} to {axis.high}"
                for axis in spec.vary.values()
            ],
            "scale": [axis.scale if axis.values is None else "list" for axis in spec.vary.values()],
        }
    )
    yield table_of("What was varied.", axes)
    limits = [f"{name}: {_bounds(limit.min, limit.max)}" for name, limit in spec.limits.items()]
    yield Text(f"Limits: {'; '.join(limits) or 'none'}.")
    yield Text(f"Objectives: {', '.join(f'{name} ({goal})' for name, goal in spec.objectives.items())}.")
    yield Text(
        "Estimates are one prompt alone and one decode step at half the answer, for as many users as the KV cache "
        "holds; served figures are those of whole runs. A varied number changes nothing but itself: a faster clock "
        "keeps its energy per operation, a wider memory its energy per byte, unless these are varied too. The area "
        "proxy counts arithmetic, SRAM and memory interfaces only."
    )


def _bounds(low: float | None, high: float | None) -> str:
    words = [f"at least {low:g}"] if low is not None else []
    return " and ".join(words + ([f"at most {high:g}"] if high is not None else []))
