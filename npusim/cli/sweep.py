"""`npusim sweep`: many designs of an architecture under many loads, with their front and what moves it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.sweeps import SweepOptions
from npusim.cli.conditions import print_conditions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.api.sweeps import SweepAnswer
    from npusim.explore.sweep.run import SweepResult

_MOST_ROWS = 20
_MOST_REASONS = 5


@command(SweepOptions)
def sweep(asked: SweepOptions, as_json: bool) -> None:
    """Predict the designs that SPEC.yaml spans: points.parquet, points.csv, pareto.csv, effects.csv, report.html.

    A sweep or a search that was stopped resumes where it stopped when the same command is given again.
    """
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.sweep.of(replace(asked, say=say))
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
    elif found.swept is None:
        _print_search(stdout_console(), found)
    else:
        _print(stdout_console(), found.swept, found.files)
    if not as_json:
        print_conditions(stdout_console(), found.conditions[:_MOST_REASONS])


def _print_search(console: Console, found: SweepAnswer) -> None:
    front = found.front
    rows = [[f"{value:.5g}" if isinstance(value, float) else str(value) for value in row] for row in front.to_numpy()]
    console.print(table(list(front.columns), rows[:_MOST_ROWS], "Front of all trials (varied numbers in SI units)"))
    console.print(f"{len(front):,} trials on the front; written: {', '.join(found.files)}.", soft_wrap=True)


def _print(console: Console, result: SweepResult, files: list[str]) -> None:
    console.print(
        f"{result.points:,} points of {result.spec.designs:,} designs; {result.kept:,} keep every limit, "
        f"{result.served:,} were served request by request."
    )
    for reason, points in list(result.refused.items())[:_MOST_REASONS]:
        console.print(f"{points:,} without figures: {reason}", soft_wrap=True)
    from npusim.explore.sweep.page import as_written

    objectives = list(result.spec.objectives)
    words = [name.replace("_", " ") for name in (*_short(result.axes), *objectives)]
    headings = ("model", "isl/osl", "users", "precision", "plan", "design", *words)
    rows = [
        [
            str(row["model"]),
            f"{row['isl']}/{row['osl']}",
            str(row["users"]),
            str(row["precision"]),
            str(row["plan"]),
            str(row["design"]),
            *(row[axis] for axis in result.axes),
            *(figure(row[name]) for name in objectives),
        ]
        for row in as_written(result, result.front.head(_MOST_ROWS)).to_dict("records")
    ]
    console.print(table(headings, rows, "Pareto front", text_columns=1))
    if len(result.front) > _MOST_ROWS:
        console.print(f"{len(result.front) - _MOST_ROWS:,} more in pareto.csv.")
    console.print("Written:")
    for name in files:
        console.print(f"  {name}", soft_wrap=True)


def _short(paths: list[str]) -> list[str]:
    """The last words of dotted paths where these differ, else the whole paths, to be broken at the dots."""
    last = [path.rsplit(".", 1)[-1] for path in paths]
    return last if len(set(last)) == len(last) else [path.replace(".", " ") for path in paths]
