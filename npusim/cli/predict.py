"""`npusim predict`: the cells of a grid, registered before silicon is measured; `npusim score`: how they fared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from npusim import api
from npusim.api.registering import PredictOptions, ScoreOptions
from npusim.cli.conditions import print_conditions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.metric_row import Shown
from npusim.metrics import shown


@command(PredictOptions)
def predict(asked: PredictOptions, as_json: bool) -> None:
    """Predict a grid with its 90 % intervals; with --register, stamp the predictions before silicon is measured."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.predict.of(asked)
    stamp = found.pack["sha256"]
    if asked.out is not None:
        say(f"wrote {asked.out}; publish its stamp: {stamp}")
    if as_json:
        print_json(found.answer)
        return
    _print(found.cells)
    print_conditions(stdout_console(), found.conditions)
    if asked.out is not None:
        stdout_console().print(f"Registered {found.day}: {asked.out}, SHA-256 {stamp}", soft_wrap=True)


def _print(cells: Iterable[Mapping[str, Any]]) -> None:
    headings = ("chip", "model", "in/out x users", *(row.name for row in shown(Shown.BRIEF)))
    rows = []
    for cell in cells:
        shape = f"{cell['isl']}/{cell['osl']} x {cell['users']}"
        rows.append([cell["chip"], cell["model"], shape, *(_with_range(cell, row.name) for row in shown(Shown.BRIEF))])
    stdout_console().print(table(headings, rows, text_columns=3))


def _with_range(cell: Mapping[str, Any], name: str) -> str:
    value, low, high = (cell.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None or low is None or high is None:
        return figure(value)
    return figure({"value": value, "low": low, "high": high})


@command(ScoreOptions)
def score(asked: ScoreOptions, as_json: bool) -> None:
    """Score a registered pack against measured results; an edited pack is refused."""
    found = api.score.of(asked)
    answer: Mapping[str, Any] = found.answer
    if as_json:
        print_json({**answer, "manifest": found.manifest})
        return
    console = stdout_console()
    console.print(f"Registered {answer['registered']}, SHA-256 {answer['sha256']}: {answer['rows']:,} rows scored.")
    parts = ("mape", "bias", "p90", "max", "coverage90")
    rows = [
        [metric, str(part["rows"]), *(figure(part[name], 3) for name in parts)]
        for metric, part in answer["by"]["metric"].items()
    ]
    console.print(table(("metric", "rows", *parts), rows))
    for each in answer["skipped"]:
        console.print(f"Not scored: {each['row']}: {each['reason']}.", soft_wrap=True)
