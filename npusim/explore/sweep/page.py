"""The report of a sweep: its front, what moves each objective, its limits and method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from npusim.explore.sweep.effects import NOISE_LEVEL
from npusim.explore.sweep.run import WORKLOAD, SweepResult
from npusim.explore.sweep.spec import SERVED_PREFIX
from npusim.explore.sweep.tasks import DEPLOYED, possible_bases
from npusim.metrics import ESTIMATES, METRICS
from npusim.report.charts import COLOURS, layout, tornado
from npusim.report.page import Block, Chart, Page, Section, Text, table_of
from npusim.units import written_like

_MOST_ROWS = 200
_MOST_DOTS = 2_000
_SPREAD = [name for name in DEPLOYED if name != "model"]
_METHOD = {
    "grid": "every combination of the listed values",
    "latin-hypercube": "a Latin hypercube over the ranges",
    "sobol": "a scrambled Sobol sequence over the ranges",
    "random": "drawn at random over the ranges",
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
        yield Text("No point keeps every limit and constraint.", "warning")
        return
    names = list(result.spec.objectives)
    for keys, front in result.front.groupby(WORKLOAD, sort=False):
        if len(names) > 1:
            told = f"{names[1]} against {names[0]} of {_load(keys)}; hover for the design."
            yield Chart(told, _front_chart(result, keys, front))
    why = ["bound"] if result.spec.bounds else []
    shown = result.front[[*WORKLOAD, *_SPREAD, "design", *result.axes, *names, *why]].head(_MOST_ROWS)
    alike = [name for name in (*WORKLOAD, *_SPREAD) if len(shown) > 1 and (shown[name] == shown[name].iloc[0]).all()]
    common = ", ".join(f"{name} {shown[name].iloc[0]}" for name in alike)
    caption = "Points that no other beats in every objective"
    caption = f"{caption}; all of them: {common}" if alike else caption
    more = len(result.front) - len(shown)
    yield table_of(f"{caption}{_rest(more)}.", as_written(result, shown.drop(columns=alike)))


def as_written(result: SweepResult, points: pd.DataFrame) -> pd.DataFrame:
    """`points` with the varied numbers as text, in the units in which the specification gives them."""
    spec, told = result.spec, points.copy()
    texts = {path: given.low if given.values is None else given.values[0] for path, given in spec.vary.items()}
    texts |= {path: value for rows in spec.tables.values() for path, value in rows[0].items()}
    for axis in possible_bases(spec, "")[0][0].axes:
        if axis.number is not None:
            quantity = axis.number.quantity
            text = str(texts.get(axis.path, quantity.text))
            told[axis.path] = [written_like(text, value, quantity.unit) for value in points[axis.path]]
    return told


def _title(objective: str) -> str:
    """Label and unit of an objective."""
    name, served = objective.removeprefix(SERVED_PREFIX), objective.startswith(SERVED_PREFIX)
    row = next(row for row in (METRICS if served else ESTIMATES) if row.name == name)
    unit = f" [{row.unit}]" if row.unit else ""
    return f"{row.label}{unit}, {'served' if served else 'estimated'}"


def _load(keys: Any) -> str:
    model, isl, osl, users = keys
    return f"{model}, {isl:,} in, {osl:,} out, {users:,} {'user' if users == 1 else 'users'}"


def _rest(more: int) -> str:
    return f" ({more:,} more in pareto.csv)" if more > 0 else ""


def _front_chart(result: SweepResult, keys: Any, front: pd.DataFrame) -> go.Figure:
    first, second = list(result.spec.objectives)[:2]
    every = result.sample[(result.sample[WORKLOAD] == list(keys)).all(axis=1)].head(_MOST_DOTS)
    figure = go.Figure()
    figure.add_scatter(
        x=every[first].tolist(),
        y=every[second].tolist(),
        mode="markers",
        name="all points",
        marker={"color": "#C4C9CF", "size": 5},
        hoverinfo="skip",
    )
    written = as_written(result, front)
    designs = zip(front["design"], written[[*_SPREAD, *result.axes]].to_dict("records"), strict=True)
    figure.add_scatter(
        x=front[first].tolist(),
        y=front[second].tolist(),
        text=[
            f"design {at}<br>" + "<br>".join(f"{key} = {value}" for key, value in row.items()) for at, row in designs
        ],
        mode="markers",
        name="front",
        marker={"color": COLOURS[1], "size": 9},
        hovertemplate="%{x:.4g}, %{y:.4g}<br>%{text}",
    )
    return layout(figure, _title(first), _title(second))


def _effect_blocks(result: SweepResult) -> Iterator[Block]:
    yield Text(
        "First-order index: the part of an objective's variance that one number explains alone (random balance "
        "designs; '-' below 64 points). The bars lead from the objective at the least value of a number to that at the "
        "greatest, the other numbers as they come (least squares, a parabola for each number); for words and tables, "
        f"from the worst choice to the best. What is noise is not drawn: axes without which the fit is not worse than "
        f"chance would have it (F test at {NOISE_LEVEL:.0%}).",
        "note",
    )
    for keys, group in result.effects.groupby([*WORKLOAD, *_SPREAD], sort=False):
        for objective, rows in group.groupby("objective", sort=False):
            if not rows["noise"].all():
                yield _tornado(str(objective), keys, rows[~rows["noise"].astype(bool)])
    told = [*WORKLOAD, "objective", "axis", "first_order", "first_order_conf"]
    told += ["low", "at_low", "high", "at_high", "noise"]
    table = result.effects[told]
    yield table_of("Effects; all rows in effects.csv.", table.head(_MOST_ROWS), digits=3)


def _tornado(objective: str, keys: tuple[Any, ...], rows: pd.DataFrame) -> Chart:
    precision, _, plan, runtime, software = keys[len(WORKLOAD) :]
    low, high = rows["at_low"].tolist(), rows["at_high"].tolist()
    middle = float(rows["mean"].iloc[0])
    caption = f"{objective}: {_load(keys[: len(WORKLOAD)])}; {precision}, {plan}, {runtime}, software {software}."
    return Chart(caption, tornado(rows["axis"].tolist(), low, high, middle, _title(objective)))


def _method_blocks(result: SweepResult) -> Iterator[Block]:
    spec = result.spec
    rows = [
        {
            "what": path,
            "values": ", ".join(map(str, axis.values)) if axis.values else f"{axis.low} to {axis.high}",
            "scale": axis.scale if axis.values is None else "list",
        }
        for path, axis in spec.vary.items()
    ]
    rows += [
        {"what": path, "values": f"= {text}", "scale": "formula"}
        for axis in spec.vary.values()
        for path, text in axis.coupled.items()
    ]
    rows += [
        {"what": path, "values": ", ".join(str(row[path]) for row in table), "scale": f"table {name}"}
        for name, table in spec.tables.items()
        for path in table[0]
    ]
    axes = pd.DataFrame(rows)
    yield table_of("What was varied.", axes)
    limits = [f"{name}: {_bounds(limit.min, limit.max)}" for name, limit in spec.limits.items()]
    yield Text(f"Limits: {'; '.join([*limits, *spec.constraints]) or 'none'}.")
    if result.refused:
        reasons = pd.DataFrame({"points": result.refused.values(), "reason": result.refused.keys()})
        yield table_of("Points without figures.", reasons.head(_MOST_ROWS))
    yield Text(f"Objectives: {', '.join(f'{name} ({goal})' for name, goal in spec.objectives.items())}.")
    yield Text(
        f"Steps were costed by the {spec.engine} engine. "
        "Estimates are one prompt alone and one decode step at half the answer, for as many users as the KV cache "
        "holds; served figures are those of whole runs. A varied number changes nothing but itself: a faster clock "
        "keeps its energy per operation, a wider memory its energy per byte, unless these are varied too. The area "
        "proxy counts arithmetic, SRAM and memory interfaces only."
    )


def _bounds(low: float | None, high: float | None) -> str:
    words = [f"at least {low:g}"] if low is not None else []
    return " and ".join(words + ([f"at most {high:g}"] if high is not None else []))
