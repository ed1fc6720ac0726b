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
from npusim.report.page import Block, Chart, Page, Section, Text, table_of, words_in
from npusim.units import written_like
from npusim.words import ENGLISH, Say

_MOST_ROWS = 200
_MOST_DOTS = 2_000
_SPREAD = [name for name in DEPLOYED if name != "model"]
_METHOD = {
    "grid": "every combination of the listed values",
    "latin-hypercube": "a Latin hypercube over the ranges",
    "sobol": "a scrambled Sobol sequence over the ranges",
    "random": "drawn at random over the ranges",
}


def sweep_page(
    result: SweepResult, notes: list[str], manifest: Mapping[str, Any], say: Say, language: str = ENGLISH
) -> Page:
    """The report in the language that `say` speaks. notes: what every reader of the predictions must know."""
    spec = result.spec
    summary = [
        say(
            "{designs} designs of {arch} ({method}), {points} points with models, precisions, cards and loads; {kept} "
            "keep every limit, {served} were served request by request.",
            designs=f"{spec.designs:,}",
            arch=spec.arch,
            method=say(_METHOD[spec.method]),
            points=f"{result.points:,}",
            kept=f"{result.kept:,}",
            served=f"{result.served:,}",
        ),
        *notes,
    ]
    sections = [
        Section(say("Pareto front"), list(_front_blocks(result, say))),
        Section(say("What moves the objectives"), list(_effect_blocks(result, say))),
        Section(say("How it was made"), list(_method_blocks(result, say))),
    ]
    return Page(f"{say('Sweep')}: {spec.name}", summary, sections, manifest, language, words_in(say))


def _front_blocks(result: SweepResult, say: Say) -> Iterator[Block]:
    if result.front.empty:
        yield Text(say("No point keeps every limit and constraint."), "warning")
        return
    names = list(result.spec.objectives)
    for keys, front in result.front.groupby(WORKLOAD, sort=False):
        if len(names) > 1:
            told = {"second": say(names[1]), "first": say(names[0]), "load": _load(keys, say)}
            caption = say("{second} against {first} of {load}; hover for the design.", **told)
            yield Chart(caption, _front_chart(result, keys, front, say))
    why = ["bound"] if result.spec.bounds else []
    shown = result.front[[*WORKLOAD, *_SPREAD, "design", *result.axes, *names, *why]].head(_MOST_ROWS)
    alike = [name for name in (*WORKLOAD, *_SPREAD) if len(shown) > 1 and (shown[name] == shown[name].iloc[0]).all()]
    common = ", ".join(f"{say(name)} {say(str(shown[name].iloc[0]))}" for name in alike)
    caption = say("Points that no other beats in every objective")
    caption = f"{caption}; {say('all of them')}: {common}" if alike else caption
    rest = _rest(len(result.front) - len(shown), say)
    yield table_of(f"{caption}{rest}.", _spoken(as_written(result, shown.drop(columns=alike)), say))


def _spoken(frame: pd.DataFrame, say: Say) -> pd.DataFrame:
    """A table whose headings and words are those of the language that `say` speaks."""
    return frame.map(lambda cell: say(cell) if isinstance(cell, str) else cell).rename(columns=say)


def as_written(result: SweepResult, points: pd.DataFrame) -> pd.DataFrame:
    """`points` with the varied numbers as text, in the units in which the specification gives them."""
    told = points.copy()
    for path, (text, unit) in _units(result).items():
        told[path] = [written_like(text, value, unit) for value in points[path]]
    return told


def _units(result: SweepResult) -> dict[str, tuple[str, str]]:
    """How the specification writes a value of each varied number, and its SI unit."""
    spec = result.spec
    texts = {path: given.low if given.values is None else given.values[0] for path, given in spec.vary.items()}
    texts |= {path: value for rows in spec.tables.values() for path, value in rows[0].items()}
    return {
        axis.path: (str(texts.get(axis.path, axis.number.quantity.text)), axis.number.quantity.unit)
        for axis in possible_bases(spec, "")[0][0].axes
        if axis.number is not None
    }


def _title(objective: str, say: Say) -> str:
    """Label and unit of an objective."""
    name, served = objective.removeprefix(SERVED_PREFIX), objective.startswith(SERVED_PREFIX)
    row = next(row for row in (METRICS if served else ESTIMATES) if row.name == name)
    unit = f" [{say(row.unit)}]" if row.unit else ""
    return f"{say(row.label)}{unit}, {say('served' if served else 'estimated')}"


def _load(keys: Any, say: Say) -> str:
    model, isl, osl, users = keys
    told = {"w_model": model, "n_in": f"{isl:,}", "n_out": f"{osl:,}", "n_users": f"{users:,}"}
    if users == 1:
        return say("{w_model}, {n_in} in, {n_out} out, {n_users} user", **told)
    return say("{w_model}, {n_in} in, {n_out} out, {n_users} users", **told)


def _rest(more: int, say: Say) -> str:
    return f" ({say('{n_more} more in pareto.csv', n_more=f'{more:,}')})" if more > 0 else ""


def _front_chart(result: SweepResult, keys: Any, front: pd.DataFrame, say: Say) -> go.Figure:
    first, second = list(result.spec.objectives)[:2]
    every = result.sample[(result.sample[WORKLOAD] == list(keys)).all(axis=1)].head(_MOST_DOTS)
    figure = go.Figure()
    figure.add_scatter(
        x=every[first].tolist(),
        y=every[second].tolist(),
        mode="markers",
        name=say("all points"),
        marker={"color": "#C4C9CF", "size": 5},
        hoverinfo="skip",
    )
    written = as_written(result, front)
    designs = zip(front["design"], written[[*_SPREAD, *result.axes]].to_dict("records"), strict=True)
    figure.add_scatter(
        x=front[first].tolist(),
        y=front[second].tolist(),
        text=[
            f"{say('design')} {at}<br>" + "<br>".join(f"{say(key)} = {value}" for key, value in row.items())
            for at, row in designs
        ],
        mode="markers",
        name=say("front"),
        marker={"color": COLOURS[1], "size": 9},
        hovertemplate="%{x:.4g}, %{y:.4g}<br>%{text}",
    )
    return layout(figure, _title(first, say), _title(second, say))


def _effect_blocks(result: SweepResult, say: Say) -> Iterator[Block]:
    text = (
        "First-order index: the part of an objective's variance that one number explains alone (random balance "
        "designs; '-' below 64 points). The bars lead from the objective at the least value of a number to that at the "
        "greatest, the other numbers as they come (least squares, a parabola for each number); for words and tables, "
        "from the worst choice to the best. What is noise is not drawn: axes without which the fit is not worse than "
        "chance would have it (F test at {level})."
    )
    yield Text(say(text, level=f"{NOISE_LEVEL:.0%}"), "note")
    for keys, group in result.effects.groupby([*WORKLOAD, *_SPREAD], sort=False):
        for objective, rows in group.groupby("objective", sort=False):
            if not rows["noise"].all():
                yield _tornado(str(objective), keys, rows[~rows["noise"].astype(bool)], say)
    told = [*WORKLOAD, "objective", "axis", "first_order", "first_order_conf"]
    told += ["low", "at_low", "high", "at_high", "noise"]
    table = _ends_as_written(result, result.effects[told].head(_MOST_ROWS))
    yield table_of(say("Effects; all rows in effects.csv."), _spoken(table, say), digits=3)


def _ends_as_written(result: SweepResult, effects: pd.DataFrame) -> pd.DataFrame:
    """Effects with the ends of each axis as text, in the unit in which the specification gives it."""
    told = effects.assign(noise=["yes" if each else "no" for each in effects["noise"]])
    units = _units(result)
    for side in ("low", "high"):
        ends = zip(effects["axis"], effects[side], strict=True)
        told[side] = [_end_text(units.get(axis), end) for axis, end in ends]
    return told


def _end_text(told: tuple[str, str] | None, end: Any) -> str:
    """An end of an axis: a number in the unit of the specification, a word as it is."""
    return str(end) if told is None or isinstance(end, str) else written_like(told[0], end, told[1])


def _tornado(objective: str, keys: tuple[Any, ...], rows: pd.DataFrame, say: Say) -> Chart:
    precision, _, plan, runtime, software = keys[len(WORKLOAD) :]
    low, high = rows["at_low"].tolist(), rows["at_high"].tolist()
    middle = float(rows["mean"].iloc[0])
    where = f"{precision}, {plan}, {runtime}, {say('software')} {say(software)}"
    caption = f"{say(objective)}: {_load(keys[: len(WORKLOAD)], say)}; {where}."
    labels = (say("at its low end"), say("at its high end"))
    return Chart(caption, tornado(rows["axis"].tolist(), low, high, middle, _title(objective, say), labels))


def _method_blocks(result: SweepResult, say: Say) -> Iterator[Block]:
    spec = result.spec
    rows = [
        {
            "axis": path,
            "values": ", ".join(map(str, axis.values))
            if axis.values
            else say("{low} to {high}", low=axis.low, high=axis.high),
            "scale": axis.scale if axis.values is None else "list",
        }
        for path, axis in spec.vary.items()
    ]
    rows += [
        {"axis": path, "values": f"= {text}", "scale": "formula"}
        for axis in spec.vary.values()
        for path, text in axis.coupled.items()
    ]
    rows += [
        {"axis": path, "values": ", ".join(str(row[path]) for row in table), "scale": f"{say('table')} {name}"}
        for name, table in spec.tables.items()
        for path in table[0]
    ]
    yield table_of(say("What was varied."), _spoken(pd.DataFrame(rows), say))
    limits = [f"{say(name)}: {_bounds(limit.min, limit.max, say)}" for name, limit in spec.limits.items()]
    yield Text(f"{say('Limits')}: {'; '.join([*limits, *spec.constraints]) or say('none')}.")
    if result.refused:
        reasons = pd.DataFrame({"points": result.refused.values(), "reason": result.refused.keys()})
        yield table_of(say("Points without figures."), _spoken(reasons.head(_MOST_ROWS), say))
    goals = ", ".join(f"{say(name)} ({say(goal)})" for name, goal in spec.objectives.items())
    yield Text(f"{say('Objectives')}: {goals}.")
    yield Text(say(_HOW, engine=say(spec.engine)))


_HOW = (
    "Steps were costed by the {engine} engine. Estimates are one prompt alone and one decode step at half the answer, "
    "for as many users as the KV cache holds; served figures are those of whole runs. A varied number changes nothing "
    "but itself: a faster clock keeps its energy per operation, a wider memory its energy per byte, unless these are "
    "varied too. The area proxy counts arithmetic, SRAM and memory interfaces only."
)


def _bounds(low: float | None, high: float | None, say: Say) -> str:
    words = [say("at least {value}", value=f"{low:g}")] if low is not None else []
    more = [say("at most {value}", value=f"{high:g}")] if high is not None else []
    return say(" and ").join(words + more)
