"""`npusim kperf`: the measuring table and its graphs, written to a folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.answer import Progress
from npusim.api.caveats import caveats
from npusim.api.grids import KPerfOptions
from npusim.cli.conditions import print_conditions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stderr_console, stdout_console, table

if TYPE_CHECKING:
    from npusim.kperf.runner import GridResult


_INTERVAL_S = 4.0
"""Between two lines of progress, where there is no terminal for a bar."""


@command(KPerfOptions)
def kperf(asked: KPerfOptions, as_json: bool) -> None:
    """Predict the K-Perf table: kperf.xlsx, kperf.csv, charts and a manifest; of several archs in a folder each, with
    comparison.xlsx of all of them side by side."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    with _progress() as progress:
        found = api.kperf.of(replace(asked, progress=progress))
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print_summary(found, found.files)
    print_conditions(stdout_console(), found.conditions)


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar with the time left where stderr is a terminal, else a line at the start and one at the end."""
    from rich import progress

    console = stderr_console()
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, label: bar.update(task, completed=done, total=total, description=label)


def _lines() -> Progress:
    started = said = time.monotonic()

    def report(done: int, total: int, _which: str) -> None:
        nonlocal said
        now = time.monotonic()
        if done == 0:
            say(f"predicting {total} cells")
        elif done == total:
            say(f"predicted {total} cells in {now - started:.0f} s")
        elif now - said >= _INTERVAL_S:
            say(f"predicted {done} of {total} cells")
        else:
            return
        said = now

    return report


def _print_summary(results: list[GridResult], files: list[str]) -> None:
    from npusim.kperf.table import missing

    console = stdout_console()
    for result in results:
        console.print(table(_headings(), _rows(result), result.context.chip_title, text_columns=2))
        for where in result.deployments:
            cards = f"{where.plan.cards} card{'s' * (where.plan.cards > 1)}"
            console.print(f"{where.model.title}: {where.plan.name} on {cards}.")
        for row in missing(result.cells).itertuples():
            console.print(f"Not predicted: {row.model}, {row.where}: {row.reason}")
    for line in caveats(result.deployments[0] for result in results):
        console.print(line)
    console.print("Written:")
    for name in files:
        console.print(f"  {name}", soft_wrap=True)


def _headings() -> list[str]:
    from npusim.kperf.table import BEST
    from npusim.metric_names import best_label
    from npusim.metric_row import lowered

    best = [(f"{lowered(best_label(row))} [{row.unit}]", "at in / out × users") for row in BEST]
    names = [heading for pair in best for heading in pair]
    return ["model", "precision, KV", "cards", "cells", *names, "TTFT at fewest users [ms]"]


def _rows(result: GridResult) -> Iterator[list[str]]:
    from npusim.kperf.table import BEST, headlines

    for line in headlines(result.cells).to_dict("records"):
        shortest, longest = figure(line["ttft_low"], 0), figure(line["ttft_high"], 0)
        pairs = ((figure(line[row.name], 0 if row.unit == "tokens/s" else 2), line[f"{row.name}_at"]) for row in BEST)
        best = [text if isinstance(text, str) else "-" for pair in pairs for text in pair]
        spread = shortest if shortest == longest else f"{shortest} to {longest}"
        yield [line["model"], line["precision"], str(line["cards"]), line["count"], *best, spread]
