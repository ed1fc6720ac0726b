"""`npusim compare`: what two labs measured of the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.comparing import CompareOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.metric_row import Shown
from npusim.metrics import shown

if TYPE_CHECKING:
    from npusim.lab.compare.compare import Compared

_HEADINGS = ("cell", "figure", "A", "B", "B / A", "E_n", "s_r", "s_R")

_SHOWN = tuple(row.name for row in shown(Shown.BRIEF))
"""Figures in the terminal."""


@command(CompareOptions)
def compare(asked: CompareOptions, as_json: bool) -> None:
    """Compare what two labs measured: E_n scores of paired cells, repeatability and reproducibility, common factor.

    A lab is a file or a folder that npusim check reads. E_n of 1 or less: the labs agree within their uncertainties.
    """
    found = api.compare.of(asked)
    if asked.out is not None:
        say(f"wrote {asked.out}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(found.found)


def _print(found: Compared) -> None:
    console = stdout_console()
    console.print(table(_HEADINGS, _rows(found), f"{len(found.pairs):,} pairs", text_columns=2))
    others = sum(1 for pair in found.pairs if pair.metric not in _SHOWN)
    if others:
        console.print(f"{others:,} more pairs, of other figures: --json or --out give them all.")
    factor = found.factors.get(found.main)
    if factor is not None:
        ends = "" if factor.low is None else f" ({figure(factor.low, 3)} to {figure(factor.high, 3)}, 95 %)"
        console.print(f"B over A in {found.main}: {figure(factor.value, 3)}{ends} over {factor.cells} cells.")
    for pair in found.pairs:
        if pair.reason and pair.metric == found.main:
            console.print(f"{pair.cell.text}: no E_n: {pair.reason}.", soft_wrap=True)
    for name, cell, reason in found.unpaired:
        console.print(f"Unpaired: {name}: {cell.text}: {reason}.", soft_wrap=True)
    for lab in found.labs:
        for each in lab.unread:
            console.print(f"Skipped: {each.location}: {each.reason}.", soft_wrap=True)


def _rows(found: Compared) -> Iterator[list[str]]:
    for pair in found.pairs:
        if pair.metric not in _SHOWN:
            continue
        spread = pair.precision
        yield [
            pair.cell.text,
            pair.metric,
            figure(pair.one.mean),
            figure(pair.other.mean),
            figure(pair.ratio, 3),
            figure(pair.en),
            figure(spread and spread.repeatability),
            figure(spread and spread.reproducibility),
        ]
