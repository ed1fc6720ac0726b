"""`npusim check`: does what a lab measured make sense, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.checking import CheckOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, say, stdout_console, table

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.lab.check.result import CheckResult

_MOST_ROWS = 60
_HEADINGS = ("row", "file", "what ran", "verdict", "bound", "why")


@command(CheckOptions)
def check(asked: CheckOptions, as_json: bool) -> None:
    """Check measured results: impossible, implausible, plausible or unchecked, row by row, and how they were measured.

    Reads furiosa-perf summaries and logs, vllm bench serve JSON, AIPerf exports, saved Prometheus metrics, sensor
    CSVs, MLPerf LoadGen logs, a filled K-Perf workbook, and npusim's own measured tables.
    """
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.check.of(replace(asked, say=say))
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(stdout_console(), found.found)
    for name in found.files:
        say(f"wrote {name}")


def _print(console: Console, found: CheckResult) -> None:
    from npusim.bounds.finding import PLAUSIBLE

    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.counts().items())
    console.print(f"{len(found.rows):,} rows: {counts}.")
    console.print(table(_HEADINGS, _rows(found), text_columns=6))
    if len(found.rows) > _MOST_ROWS:
        console.print(f"{len(found.rows) - _MOST_ROWS:,} more rows: --json or --out give them all.")
    for row in found.rows[:_MOST_ROWS]:
        if row.known.deciding or row.verdict != PLAUSIBLE:
            console.print(f"{row.location}: {row.known.text}", soft_wrap=True)
        for remark in row.remarks:
            if remark.severity != "note":
                console.print(f"{row.location}: {remark.rule}: {remark.message}", soft_wrap=True)
    for factor in found.factors:
        console.print(f"{factor.remark.message}.", soft_wrap=True)
    for each in found.unread:
        console.print(f"Skipped: {each.location}: {each.reason}.", soft_wrap=True)


def _rows(found: CheckResult) -> Iterator[list[str]]:
    from npusim.bounds.finding import VERDICTS

    numbered = sorted(enumerate(found.rows), key=lambda item: VERDICTS.index(item[1].verdict))
    for index, row in numbered[:_MOST_ROWS]:
        setting, decisive = row.setting, row.decisive
        shape = f"{setting.isl or '?'}/{setting.osl or '?'} x {setting.users or '?'}"
        what = f"{setting.model or '?'} on {setting.cards or '?'} x {setting.device or '?'}, {shape}"
        why = "" if decisive is None else f"{decisive.metric} {decisive.reason}".strip()
        yield [str(index), Path(row.location).name, what, row.verdict, (decisive and decisive.bound) or "-", why]
