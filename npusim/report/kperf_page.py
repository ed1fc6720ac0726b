"""A K-Perf prediction as a report: charts with hover values, headlines, the table, every assumption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from npusim.kperf.charts import CHARTS, GridChart, points
from npusim.kperf.headline_text import MEANS, headline_lines
from npusim.kperf.runner import GridResult
from npusim.kperf.shares import TITLE, known_shares, present_parts, shape_names
from npusim.kperf.table import BEST, MISSING, PREDICTED, as_read, missing, model_names, of_model
from npusim.ledger import range_text, value_text
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.report.charts import Axis, line_chart, stacked_shares
from npusim.report.page import Block, Chart, Page, Section, Table, Text, table_of, words_in
from npusim.scales import grid_ticks
from npusim.words import Say

_TABLE = ("isl", "osl", "users", *(row.name for row in shown(Shown.PAGE)))


def kperf_page(result: GridResult, notes: list[str], manifest: Mapping[str, Any], say: Say, language: str) -> Page:
    """The report of one architecture's grid. notes: what every reader of the predictions must know."""
    context = result.context
    summary = [say("PREDICTION, not a measurement."), say(context.chip_note), say(MEANS)]
    details = [
        say("Grid: {name} ({source}). Load: {load}.", name=context.grid_name, source=context.grid_source,
            load=context.arrival_text),
        say("Intervals: {text}.", text=context.interval_text),
        *notes,
    ]  # fmt: skip
    sections = [
        Section(say("Headlines"), list(_headlines(result, say))),
        *(_model(result, model, say) for model in model_names(result.cells)),
        Section(say("Assumptions"), [_assumptions(result, say)]),
    ]
    title = say("K-Perf prediction: {chip}", chip=context.chip_title)
    return Page(title, [line for line in summary if line], sections, manifest, language, words_in(say), details)


def _headlines(result: GridResult, say: Say) -> Iterator[Block]:
    (label, models), *lines = headline_lines(result.cells, say)
    right = frozenset(range(1, len(models) + 1))
    rows = [[each, *texts] for each, texts in lines]
    yield Table(say("The best of each model, with its 90 % interval."), [label, *models], rows, right)
    absent = missing(result.cells)
    if not absent.empty:
        absent = absent.assign(where=absent["where"].map(say), reason=absent["reason"].map(say))
        absent.columns = pd.Index([say(item.heading) for item in MISSING])
        yield table_of(say("What was not predicted, and why."), absent)


def _model(result: GridResult, model: str, say: Say) -> Section:
    rows = of_model(result.cells, model)
    return Section(str(rows["model_title"].iloc[0]), list(_blocks(result, model, rows, say)))


def _blocks(result: GridResult, model: str, rows: pd.DataFrame, say: Say) -> Iterator[Block]:
    """Charts and the table of a model; the reason where nothing of it was predicted."""
    shaped = rows.assign(shape=shape_names(rows))
    if points(shaped, CHARTS[0]).empty:
        yield Text(say(str(rows["status"].iloc[0])), "warning")
        return
    for chart in CHARTS:
        yield _chart(shaped, chart, say)
    spent = known_shares(result.shares, model)
    if not spent.empty:
        parts = {say(name): spent[each].tolist() for each, name in present_parts(spent)}
        titles = say("Users"), f"{say('Share')} [%]"
        users = [f"{int(users):,}" for users in spent["users"]]
        yield Chart(say(TITLE), stacked_shares(shape_names(spent), users, parts, titles))
    yield _cells(rows, say)


def _chart(shaped: pd.DataFrame, chart: GridChart, say: Say) -> Chart:
    shown = points(shaped, chart)
    x, shown = as_read(shown, chart.x)
    y, shown = as_read(shown, chart.y)
    across, along = x.label_in(say), y.label_in(say)
    held = [name for name in (chart.y, f"{chart.y}_low", f"{chart.y}_high") if name in shown]
    of_grid = Axis(across, True, grid_ticks(shown["users"])) if chart.x == "users" else None
    axes = (
        of_grid or Axis.holding(across, shown[chart.x]),
        Axis.holding(along, shown[held].to_numpy(float).ravel(), chart.log_y),
    )
    return Chart(say(chart.title), line_chart(shown, chart.x, chart.y, ["shape"], axes))


def _cells(rows: pd.DataFrame, say: Say) -> Table:
    """A row a cell that was predicted, with its status where some cell's is not as asked."""
    table = rows[rows[BEST[0].name].notna()]
    names = _TABLE if (table["status"] == PREDICTED).all() else (*_TABLE, "status")
    headings = []
    for name in names:
        item, table = as_read(table, name)
        headings.append(item.label_in(say))
    table = table.assign(status=table["status"].map(say))[list(names)]
    table.columns = pd.Index(headings)
    return table_of(say("Every cell that was predicted."), table)


def _assumptions(result: GridResult, say: Say) -> Block:
    assumed = result.provenances[result.provenances["kind"] == "assumed"]
    rows = [
        [each["owner"], each["path"], say(value_text(each)), say(range_text(each)), each["source"]]
        for each in ({str(name): value for name, value in row.items()} for row in assumed.to_dict("records"))
    ]
    headings = [say(heading) for heading in ("Description", "Parameter", "Value", "Range", "Source")]
    return Table(say("Every assumed number that a prediction depends on."), headings, rows)
