"""`npusim generate`: the requests of a described load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from npusim import api
from npusim.api.generating import GenerateOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table


@command(GenerateOptions)
def generate(asked: GenerateOptions, as_json: bool) -> None:
    """Draw the requests of LOAD by a seed: sessions of several turns, bursts, the course of a day.

    LOAD is a shipped name (npusim list loads) or the path of a YAML file. The same seed draws the same requests, which
    npusim run --load serves as well.
    """
    found = api.generate.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    console, answer = stdout_console(), found.answer
    console.print(table(("", "", ""), _rows(answer), text_columns=1))
    told: Any = answer["assumed"]
    for each in told:
        console.print(f"Assumed: {_assumption(each)}.", soft_wrap=True)
    for file in found.files:
        console.print(f"Written: {file}", soft_wrap=True)


def _assumption(told: dict[str, Any]) -> str:
    if isinstance(told["value"], list):
        return f"{told['key']}, {len(told['value'])} rates with a range each"
    return f"{told['key']} {told['value']} {told['unit']} ({told['low']} to {told['high']})".replace("  ", " ")


def _rows(answer: Any) -> Iterator[list[str]]:
    for key, meaning, unit, digits in (
        ("requests", "requests", "", 0),
        ("sessions", "sessions", "", 0),
        ("turns_mean", "turns of a session, mean", "", 2),
        ("seconds", "from the first request to the last, if answers took no time", "s", 1),
        ("sessions_per_s", "sessions that come", "1/s", 4),
        ("gap_cv", "standard deviation of gaps between sessions over their mean", "", 2),
        ("isl_mean", "prompt, mean", "tokens", 1),
        ("isl_most", "longest prompt", "tokens", 0),
        ("osl_mean", "answer, mean", "tokens", 1),
    ):
        yield [meaning, figure(answer[key], digits), unit]
    yield ["prompt tokens that a prefix cache without end finds", figure(100.0 * answer["shared_fraction"], 1), "%"]
