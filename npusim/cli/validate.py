"""`npusim validate`: how far predictions are from measured tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.validating import ValidateOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, say, speaking, stdout_console, table

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.evidence.validation.validate import ValidationResult

_MOST_VALUES = 8


@command(ValidateOptions)
def validate(asked: ValidateOptions, as_json: bool) -> None:
    """Predict every row of measured tables and report the errors."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.validate.of(replace(asked, say=say))
    for file in found.files:
        say(f"wrote {file}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    for result in found.results:
        _print(stdout_console(), result)


def _print(console: Console, result: ValidationResult) -> None:
    from npusim.evidence.validation.report import ERROR_HEADINGS, figures_text, percent, scored_text, telling, title

    tell = speaking()
    console.print(f"{title(result).in_words_of(tell)}: {scored_text(result).in_words_of(tell)}")
    if result.main:
        console.print(_main_text(result))
    rows = []
    for name, values in telling(result):
        shown = len(values) if name == "metric" else _MOST_VALUES
        for index, (value, part) in enumerate(list(values.items())[:shown]):
            rows.append([name if index == 0 else "", value, *figures_text(part)])
        if len(values) > shown:
            rows.append(["", f"and {len(values) - shown} more (--json)", *[""] * len(ERROR_HEADINGS)])
    if rows:
        console.print(table(("by", "", *ERROR_HEADINGS), rows, text_columns=2))
    for item in result.worst(1):
        where = ", ".join(f"{tell(name)} {tell(value)}" for name, value in item.case.dimensions.items())
        console.print(
            f"Worst row {item.case.row} ({where}): {item.predicted:,.4g} for {item.case.measured:,.4g} measured, "
            f"{percent(item.error, signed=True)}."
        )
    for how, known in result.conditions.items():
        if known:
            listed = [f"{tell(name)} {', '.join(tell(str(one)) for one in each)}" for name, each in known.items()]
            console.print(f"{tell(f'Conditions {how}')}: {'; '.join(listed)}.")
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
