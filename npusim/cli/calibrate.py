"""`npusim calibrate`: fit an architecture's ranged numbers to measured tables, and write them as a calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.calibrating import CalibrateOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, say, stdout_console, table

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.evidence.calibration.calibrate import FittedCalibration

_PARTS = 3
"""Words of a number's path by which those that stayed as they were are counted."""


@command(CalibrateOptions)
def calibrate(asked: CalibrateOptions, as_json: bool) -> None:
    """Fit the ranged numbers of an architecture and its runtimes to measured tables; write a calibration of them."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.calibrate.of(replace(asked, say=say))
    say(f"wrote {found.target}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(stdout_console(), found.found, found.target)


def _print(console: Console, found: FittedCalibration, target: Path) -> None:
    from npusim.evidence.validation.report import percent

    console.print("Fitted numbers, in SI units; doubt: posterior over prior deviation, 1 where the data say nothing")
    for owner in dict.fromkeys(number.owner for number in found.calibration.numbers):
        console.print(table(("", "prior", "value", "sd", "doubt"), _parameters(found, owner), owner))
    rows = [
        [kind.replace("_", " "), f"{part.figures:,}", *map(percent, (part.before, part.after, part.left_out))]
        for kind, part in found.tables.items()
    ]
    errors = (found.mape_before, found.mape_after, found.left_out_mape)
    rows.append(["all", f"{found.cases:,}", *map(percent, errors)])
    console.print(table(("mean absolute error", "figures", "before", "after", "cross-validated"), rows))
    short = [part for part in found.calibration.residuals if not part.enough]
    if short:
        console.print(
            f"{len(short)} of {len(found.calibration.residuals)} regimes have fewer than nine groups of runs: "
            "a prior discrepancy of 5 % counts as one more."
        )
    if found.skipped:
        console.print(f"{found.skipped:,} rows or figures cannot be predicted and were skipped.")
    _print_unmet(console, found)
    console.print(
        f"Written: {target}. To use it, put `calibration: {target.name}` into the architecture's file, with the "
        "calibration beside it; --uncalibrated ignores it."
    )


def _print_unmet(console: Console, found: FittedCalibration) -> None:
    """What stayed as it was, and what the description cannot meet."""
    if found.unmoved:
        parts = Counter(".".join(name.split(".")[:_PARTS]) for name in found.unmoved)
        told = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in parts.items())
        console.print(f"As unknown as before are {len(found.unmoved)} numbers, of which the tables say nothing: {told}")
    if found.misfits:
        groups = "; ".join(map(str, found.misfits))
        console.print(f"MISFIT: the description does not meet these figures, fitted as well as it can be: {groups}")
    if found.stretched:
        numbers = "; ".join(map(str, found.stretched))
        console.print(f"MISFIT: these numbers had to leave the ranges in which they are described: {numbers}")


def _parameters(found: FittedCalibration, owner: str) -> Iterator[list[str]]:
    for name, number in found.parameters.items():
        path = name.removeprefix(f"{owner}.")
        if path != name:
            figures = (f"{number[key]:.3g}" for key in ("prior", "value", "sd"))
            yield [f"{path} [{number['unit']}]" if number["unit"] else path, *figures, f"{number['identified']:.2f}"]
