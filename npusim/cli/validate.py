"""`npusim validate`: how far predictions are from measured tables."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option, uncalibrated_option
from npusim.cli.output import print_json, say, stdout_console, table
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.evidence.validation.folder import Comparison
    from npusim.evidence.validation.validate import ValidationResult

_MOST_VALUES = 8


@click.command()
@click.argument("paths", metavar="TABLE.csv...", nargs=-1, required=True)
@click.option("--arch", metavar="ARCH", help="Architecture to predict on [default: the table's chip, or its folder's].")
@click.option(
    "--report",
    metavar="DIR",
    help="Write a report (Markdown and charts) into this folder, blind beside calibrated errors.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@click.option(
    "--engine",
    type=click.Choice(("analytic", "event")),
    default="analytic",
    show_default=True,
    help="Closed forms, or kernels of a contraction processor event by event (without intervals).",
)
@click.option(
    "--interval/--no-interval",
    default=True,
    show_default=True,
    help="Say how many measured values lie in the 90 % intervals, or only the errors, tens of times faster.",
)
@uncalibrated_option
@as_json_option
@click.pass_obj
def validate(
    argv: list[str],
    paths: tuple[str, ...],
    arch: str | None,
    report: str | None,
    seed: int,
    engine: str,
    interval: bool,
    uncalibrated: bool,
    as_json: bool,
) -> None:
    """Predict every row of measured tables and report the errors."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    tables = [Path(path) for path in dict.fromkeys(paths)]
    predicted = partial(_predicted, arch=arch, seed=seed, intervals=interval and engine == "analytic", engine=engine)
    compared = [_compare(path, predicted, uncalibrated, report is not None) for path in tables]
    results = [each.best for each in compared]
    record = _manifest(argv, seed, results, uncalibrated)
    if report is not None:
        _report(compared, Path(report), record["argv"])
    if as_json:
        answers = [result.as_dict() for result in results]
        print_json({**(answers[0] if len(answers) == 1 else {"tables": answers}), "manifest": record})
        return
    for result in results:
        _print(stdout_console(), result)


def _predicted(path: Path, uncalibrated: bool, **options: Any) -> ValidationResult:
    from npusim.evidence.validation.validate import validate as compare

    return compare(path, uncalibrated=uncalibrated, **options)


def _compare(
    path: Path, predicted: Callable[[Path, bool], ValidationResult], uncalibrated: bool, blind_too: bool
) -> Comparison:
    """The table's result, with the blind one beside a calibrated one where that is wanted."""
    from npusim.evidence.validation.folder import Comparison

    say(f"predicting {path.name}")
    found = predicted(path, uncalibrated)
    if not found.calibrated:
        return Comparison(found, None)
    blind = predicted(path, True) if blind_too else found
    return Comparison(blind, found)


def _report(compared: list[Comparison], folder: Path, words: list[str]) -> None:
    from npusim.evidence.validation.folder import write_folder

    for file in write_folder(compared, folder, f"npusim {shlex.join(words)}"):
        say(f"wrote {file}")


def _manifest(argv: list[str], seed: int, results: list[ValidationResult], uncalibrated: bool) -> dict[str, Any]:
    from npusim.evidence.measured.component import files_of, is_component
    from npusim.evidence.measured.sources import sources_path
    from npusim.hardware.catalog import calibration_path, shipped_runtimes
    from npusim.workload.catalog import shipped_models
    from npusim.workload.formats import formats_path

    archs = list(dict.fromkeys(arch for result in results for arch in result.archs))
    models = {item.case.dimensions.get("model", "").lower() for result in results for item in result.predictions}
    described = [path for arch in archs for path in files_of(arch)]
    files = [*(result.path for result in results), *described, *shipped_runtimes().values()]
    if not uncalibrated:
        systems = [arch for arch in archs if not is_component(arch)]
        files += [path for arch in systems if (path := calibration_path(arch)) is not None]
    files += [shipped_models()[name] for name in sorted(models) if name in shipped_models()]
    return build_manifest(argv, seed, [*files, formats_path(), sources_path()])


def _print(console: Console, result: ValidationResult) -> None:
    from npusim.evidence.validation.report import HEADINGS, figures_text, percent, telling, title

    console.print(f"{title(result)}: {result.rows:,} rows scored, {len(result.skipped):,} skipped.")
    if result.main:
        console.print(_main_text(result))
    rows = []
    for name, values in telling(result):
        shown = len(values) if name == "metric" else _MOST_VALUES
        for place, (value, part) in enumerate(list(values.items())[:shown]):
            rows.append([name if place == 0 else "", value, *figures_text(part)])
        if len(values) > shown:
            rows.append(["", f"and {len(values) - shown} more (--json)", *[""] * len(HEADINGS)])
    if rows:
        console.print(table(("by", "", *HEADINGS), rows, text_columns=2))
    for item in result.worst(1):
        where = ", ".join(f"{name} {value}" for name, value in item.case.dimensions.items())
        console.print(
            f"Worst row {item.case.row} ({where}): {item.predicted:,.4g} for {item.case.measured:,.4g} measured, "
            f"{percent(item.error, signed=True)}."
        )
    for reason, count in result.reasons():
        console.print(f"{count:,} skipped: {reason}.")


def _main_text(result: ValidationResult) -> str:
    """The errors of the main metric, their uncertainty, and whether numbers were calibrated."""
    from npusim.evidence.validation.report import calibration, percent
    from npusim.evidence.validation.validate import summarise

    errors = summarise(result.main)
    covered = ""
    if errors.coverage90 is not None:
        covered = (
            f" 90 % intervals hold {percent(errors.coverage90)} of the measured values, median width "
            f"{percent(errors.width90)} (u_input {percent(errors.u_input)}, u_val {percent(errors.u_val)})."
        )
    return (
        f"{result.main_metric}: MAPE {percent(errors.mape)}, bias {percent(errors.bias, signed=True)}, "
        f"p90 {percent(errors.p90)}, max {percent(errors.max)} over {errors.rows:,} rows; "
        f"measured to {percent(errors.u_d)} (u_D).{covered} {calibration(result)}."
    )
