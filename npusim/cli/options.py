"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click

Command = Callable[..., None]

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output and nothing else."
)


uncalibrated_option = click.option(
    "--uncalibrated", is_flag=True, help="Leave the architecture's calibration to measured runs out."
)


@dataclass(frozen=True)
class Setup:
    """How a model is deployed, as the user asked for it.

    cards: a number, "auto", or None for the architecture's usual ones; plan: "auto", a plan's name or a file.
    """

    precision: str
    kv_precision: str | None
    cards: int | str | None
    tensor_parallel: int | None
    plan: str | None
    objective: str
    ttft_limit_ms: float | None
    tpot_limit_ms: float | None
    runtime: str | None
    seed: int
    uncalibrated: bool
    offload: str | None = None


OBJECTIVES = ("throughput", "tpot", "efficiency")


def setup_options(cards: str | None) -> Callable[[Command], Command]:
    """Adds the deployment options, `--cards` defaulting to `cards`; the command gets them as `setup`."""
    options = (
        click.option(
            "--precision",
            default="bf16",
            show_default=True,
            metavar="SCHEME",
            help="Weights and activations: bf16, fp8, int8, w8a16, w4a16, w4a8 or mxfp4.",
        ),
        click.option("--kv-precision", metavar="FORMAT", help="KV cache: bf16, fp8 or int8 [default: the runtime's]."),
        click.option(
            "--cards",
            default=cards,
            show_default=cards or "the architecture's usual ones",
            metavar="N|auto",
            callback=lambda _context, _option, value: _number_of_cards(value),
            help="Cards that serve one instance; auto: the smallest power of two that holds the model.",
        ),
        click.option("--tp", "tensor_parallel", type=int, help="Chips that share every layer [default: all]."),
        click.option(
            "--plan",
            metavar="auto|tp4-pp2|FILE",
            help="Degrees of tensor (tp), pipeline (pp), expert (ep) and data (dp) parallelism; auto: the best of all.",
        ),
        click.option(
            "--objective",
            type=click.Choice(OBJECTIVES),
            default=OBJECTIVES[0],
            show_default=True,
            help="What --plan auto is best in: output tokens/s, least time per token, or tokens per joule.",
        ),
        click.option("--ttft-limit", "ttft_limit_ms", type=float, metavar="MS", help="Of --plan auto: most TTFT."),
        click.option("--tpot-limit", "tpot_limit_ms", type=float, metavar="MS", help="Of --plan auto: most TPOT."),
        click.option("--runtime", metavar="NAME|PATH", help="Serving runtime [default: the architecture's own]."),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws."),
        uncalibrated_option,
        click.option(
            "--offload",
            type=click.Choice(("none", "linear", "attention", "both")),
            help="What may go to PIM units, where they are faster [default: the runtime's policy].",
        ),
    )

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_setup(**given: Any) -> None:
            wishes = {field.name: given.pop(field.name) for field in fields(Setup)}
            command(setup=Setup(**wishes), **given)

        return functools.reduce(lambda inner, option: option(inner), reversed(options), with_setup)

    return decorate


def _number_of_cards(text: str | None) -> int | str | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return text
