"""A K-Perf prediction as a report: charts with hover values, headlines, the table, every assumption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from npusim.kperf.charts import CHARTS, points
from npusim.kperf.runner import GridResult
from npusim.kperf.table import HEADLINES, column, headlines, missing, model_names, of_model, shape_text
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.report.charts import line_chart
from npusim.report.page import Block, Chart, Page, Section, Table, Text, table_of
from npusim.words import Say

_TABLE = ("isl", "osl", "users", *(row.name for row in shown(Shown.PAGE)), "bound", "status")


def kperf_page(result: GridResult, notes: list[str], manifest: Mapping[str, Any], say: Say, language: str) -> Page:
    """The report of one architecture's grid. notes: what every reader of the predictions must know."""
    context = result.context
    summary = [
        context.chip_note,
        say("Grid: {name} ({source}). Load: {load}.", name=context.grid_name, source=context.grid_source,
            load=context.arrival_text),
        say("Intervals: {text}.", text=context.interval_text),
        *notes,
    ]  # fmt: skip
    sections = [
        Section(say("Headlines"), list(_headlines(result, say))),
        *(Section(model, list(_model(of_model(result.cells, model), say))) for model in model_names(result.cells)),
        Section(say("Assumptions"), [_assumptions(result, say)]),
    ]
    words = {"contents": say("Contents"), "manifest": say("Manifest")}
    title = say("K-Perf prediction: {chip}", chip=context.chip_title)
    return Page(title, [line for line in summary if line], sections, manifest, language, words)


def _headlines(result: GridResult, say: Say) -> Iterator[Block]:
    best = table_of("", headlines(result.cells))
    names, *rows = zip(*best.rows, strict=True)
    labels = [item.label_in(say) for item in HEADLINES]
    told = [[label, *cells] for label, cells in zip(labels[1:], rows, strict=True)]
    right = frozenset(range(1, len(names) + 1))
    yield Table(say("The best of each model."), [labels[0], *names], told, right)
    absent = missing(result.cells)
    if not absent.empty:
        yield table_of(say("What was not predicted, and why."), absent)


def _model(rows: pd.DataFrame, say: Say) -> Iterator[Block]:
    shaped = rows.assign(shape=[shape_text(isl, osl) for isl, osl in zip(rows["isl"], rows["osl"], strict=True)])
    if not points(shaped, CHARTS[0]).empty:
        for chart in CHARTS:
            x, y = column(chart.x), column(chart.y)
            titles = x.label_in(say), y.label_in(say)
            shown = points(shaped, chart)
            figure = line_chart(shown, chart.x, chart.y, ["shape"], log_x=True, log_y=chart.log_y, titles=titles)
            yield Chart(say(chart.title), figure)
    else:
        yield Text(str(rows["status"].iloc[0]), "warning")
    table = rows[list(_TABLE)]
    table.columns = pd.Index([column(name).label_in(say) for name in _TABLE])
    yield table_of(say("Every cell."), table)


def _assumptions(result: GridResult, say: Say) -> Block:
    assumed = result.provenances[result.provenances["kind"] == "assumed"]
    shown = assumed[["owner", "path", "text", "low", "high", "unit", "source"]]
    return table_of(say("Every assumed number that a prediction depends on."), shown)
