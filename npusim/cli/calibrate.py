"""`npusim calibrate`: fit an architecture's ranged numbers to measured tables, and write them as a calibration."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import print_json, say, stdout_console, table
from npusim.errors import UserError
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.evidence.calibration.calibrate import FittedCalibration


@click.command()
@click.argument("paths", metavar="TABLE.csv...", nargs=-1, required=True)
@click.option("--arch", required=True, metavar="ARCH", help="Architecture that the tables were measured on.")
@click.option("--out", required=True, metavar="F.yaml", help="File of the calibration.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@click.option("--date", metavar="YYYY-MM-DD", help="Date that the calibration bears [default: today].")
@as_json_option
@click.pass_obj
def calibrate(
    argv: list[str], paths: tuple[str, ...], arch: str, out: str, seed: int, date: str | None, as_json: bool
) -> None:
    """Fit the ranged numbers of an architecture and its runtimes to measured tables; write a calibration of them."""
    from npusim.engine.compiled import ensure_compiled
    from npusim.evidence.calibration.calibrate import calibrate as fit
    from npusim.evidence.calibration.calibration_file import require_writable, write_calibration

    target, day = Path(out), _day(date)
    require_writable(target, "--out")
    ensure_compiled(say)
    tables = [Path(path) for path in dict.fromkeys(paths)]
    found = fit(tables, arch, target.stem, day, seed, say)
    write_calibration(found.calibration, target)
    say(f"wrote {target}")
    if as_json:
        print_json({**_answer(found), "manifest": _manifest(argv, seed, arch, tables)})
        return
    _print(stdout_console(), found, target)


def _day(text: str | None) -> str:
    if text is None:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError("--date", "", f"'{text}' is no date; write it as YYYY-MM-DD") from error


def _answer(found: FittedCalibration) -> dict[str, Any]:
    return {
        "parameters": found.parameters,
        "mape_before": found.mape_before,
        "mape_after": found.mape_after,
        "left_out_mape": found.left_out_mape,
        "tables": {kind: vars(errors) for kind, errors in found.tables.items()},
        "figures": found.cases,
        "skipped": found.skipped,
        "left_out": [part.model_dump() for part in found.calibration.left_out],
        "residuals": [part.model_dump() for part in found.calibration.residuals],
    }


def _manifest(argv: list[str], seed: int, arch: str, tables: list[Path]) -> dict[str, Any]:
    from npusim.evidence.measured.sources import sources_path
    from npusim.hardware.catalog import shipped_runtimes, system_path
    from npusim.workload.formats import formats_path

    files = [*tables, system_path(arch), *shipped_runtimes().values(), formats_path(), sources_path()]
    return build_manifest(argv, seed, files)


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
    console.print(table(("mean absolute error", "figures", "before", "after", "left out"), rows))
    short = [part for part in found.calibration.residuals if not part.enough]
    if short:
        console.print(
            f"{len(short)} of {len(found.calibration.residuals)} regimes have fewer than nine groups of runs: "
            "a prior discrepancy of 5 % stands for one more."
        )
    if found.skipped:
        console.print(f"{found.skipped:,} rows or figures cannot be predicted and were left out.")
    console.print(
        f"Written: {target}. To use it, put `calibration: {target.name}` into the architecture's file, with the "
        "calibration beside it; --uncalibrated leaves it out."
    )


def _parameters(found: FittedCalibration, owner: str) -> Iterator[list[str]]:
    for name, number in found.parameters.items():
        path = name.removeprefix(f"{owner}.")
        if path != name:
            figures = (f"{number[key]:.3g}" for key in ("prior", "value", "sd"))
            yield [f"{path} [{number['unit']}]" if number["unit"] else path, *figures, f"{number['identified']:.2f}"]
