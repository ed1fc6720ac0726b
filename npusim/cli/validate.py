"""`npusim validate`: how far predictions are from a measured table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import print_json, say, stdout_console, table
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.studies.validate import ValidationResult

_MOST_VALUES = 8


@click.command()
@click.argument("path", metavar="TABLE.csv")
@click.option("--arch", metavar="ARCH", help="Architecture to predict on [default: the table's chip, or its folder's].")
@click.option("--report", metavar="DIR", help="Write the report (Markdown and charts) into this folder.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@click.option(
    "--uncalibrated",
    is_flag=True,
    help="Leave the architecture's calibration out.",
)
@as_json_option
@click.pass_obj
def validate(
    argv: list[str], path: str, arch: str | None, report: str | None, seed: int, uncalibrated: bool, as_json: bool
) -> None:
    """Predict every row of a measured table and report the errors."""
    from npusim.engine.compiled import ensure_compiled
    from npusim.studies.validate import validate as compare
    from npusim.studies.validation_report import write_report

    ensure_compiled(say)
    result = compare(Path(path), arch, uncalibrated, seed)
    files = write_report([result], Path(report)) if report is not None else []
    for file in files:
        say(f"wrote {file}")
    if as_json:
        print_json({**result.as_dict(), "manifest": _manifest(argv, seed, result)})
        return
    _print(stdout_console(), result)


def _manifest(argv: list[str], seed: int, result: ValidationResult) -> dict[str, Any]:
    from npusim.hardware.catalog import load_system, shipped_runtimes, system_path
    from npusim.studies.measured.sources import sources_path
    from npusim.workload.catalog import shipped_models
    from npusim.workload.formats import formats_path

    models = {item.case.dimensions.get("model", "").lower() for item in result.predictions}
    files = [result.path, *(system_path(arch) for arch in result.archs), *shipped_runtimes().values()]
    if result.calibrated:
        named = {arch: load_system(arch).calibration for arch in result.archs}
        files += [system_path(arch).parent / overlay for arch, overlay in named.items() if overlay is not None]
    files += [shipped_models()[name] for name in sorted(models) if name in shipped_models()]
    return build_manifest(argv, seed, [*files, formats_path(), sources_path()])


def _print(console: Console, result: ValidationResult) -> None:
    from npusim.studies.validate import summarise
    from npusim.studies.validation_report import calibration, figures_text, percent, telling, title

    errors = summarise(result.main)
    console.print(f"{title(result)}: {result.rows:,} rows scored, {len(result.skipped):,} skipped.")
    if result.main:
        console.print(
            f"{result.main_metric}: MAPE {percent(errors.mape)}, bias {percent(errors.bias, signed=True)}, "
            f"p90 {percent(errors.p90)}, max {percent(errors.max)} over {errors.rows:,} rows; "
            f"measured to {percent(errors.u_d)} (u_D). {calibration(result)}."
        )
    headings = ("by", "", "rows", "MAPE", "bias", "p90", "max", "u_D")
    rows = []
    for name, values in telling(result):
        shown = len(values) if name == "metric" else _MOST_VALUES
        for place, (value, part) in enumerate(list(values.items())[:shown]):
            rows.append([name if place == 0 else "", value, *figures_text(part)])
        if len(values) > shown:
            rows.append(["", f"and {len(values) - shown} more (--json)", *[""] * 6])
    if rows:
        console.print(table(headings, rows, text_columns=2))
    for item in result.worst(1):
        where = ", ".join(f"{name} {value}" for name, value in item.case.dimensions.items())
        console.print(
            f"Worst row {item.case.row} ({where}): {item.predicted:,.4g} for {item.case.measured:,.4g} measured, "
            f"{percent(item.error, signed=True)}."
        )
    for reason, count in result.reasons():
        console.print(f"{count:,} skipped: {reason}.")
