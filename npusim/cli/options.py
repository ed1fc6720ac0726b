"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

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
    """How a model is deployed, as the user asked for it. cards: a number or "auto"."""

    precision: str
    kv_precision: str | None
    cards: int | str
    tensor_parallel: int | None
    runtime: str | None
    seed: int
    uncalibrated: bool


def setup_options(cards: str) -> Callable[[Command], Command]:
    """Adds the deployment options, `--cards` defaulting to `cards`; the command gets them as `setup`."""
    options = (
        click.option(
            "--precision",
            default="bf16",
            show_default=True,
            metavar="SCHEME",
            help="Weights and activations: bf16, fp8, int8, w8a16, w4a16 or mxfp4.",
        ),
        click.option("--kv-precision", metavar="FORMAT", help="KV cache: bf16, fp8 or int8 [default: the runtime's]."),
        click.option(
            "--cards",
            default=cards,
            show_default=True,
            metavar="N|auto",
            callback=lambda _context, _option, value: _number_of_cards(value),
            help="Cards that serve one instance; auto: the smallest power of two that holds the model.",
        ),
        click.option("--tp", "tensor_parallel", type=int, help="Chips that share every layer [default: all]."),
        click.option("--runtime", metavar="NAME|PATH", help="Serving runtime [default: the architecture's own]."),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws."),
        uncalibrated_option,
    )

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_setup(
            precision: str,
            kv_precision: str | None,
            cards: int | str,
            tensor_parallel: int | None,
            runtime: str | None,
            seed: int,
            uncalibrated: bool,
            **rest: object,
        ) -> None:
            setup = Setup(precision, kv_precision, cards, tensor_parallel, runtime, seed, uncalibrated)
            command(setup=setup, **rest)

        return functools.reduce(lambda inner, option: option(inner), reversed(options), with_setup)

    return decorate


def _number_of_cards(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text
