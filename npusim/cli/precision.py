"""`npusim precision`: what precision schemes lose numerically, and what was published of like models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from npusim import api
from npusim.api.precisions import PrecisionOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table


@command(PrecisionOptions)
def precision(asked: PrecisionOptions, as_json: bool) -> None:
    """Say how much noise precision schemes add to the logits of MODEL, and what accuracy like models kept.

    Noise comes from drawn weights and activations of the model's shapes, as a band over the ranges of what is assumed.
    Beside it stands what was published of like models in the same scheme, or unknown. No score is predicted.
    """
    found = api.precision.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    console, answer = stdout_console(), found.answer
    schemes: Any = answer["schemes"]
    console.print(
        f"{found.model.title}, stored in {answer['checkpoint']}, keys and values in {answer['kv_precision']}: signal "
        "to quantisation noise, over the ranges of what is assumed"
    )
    headings = ("scheme", "logits [dB]", "worst product [dB]", "recovery of like models")
    console.print(table(headings, _rows(schemes), text_columns=1))
    for scheme in schemes:
        for source in scheme["recovery"]["sources"]:
            console.print(f"{scheme['scheme']}: {source}.", soft_wrap=True)
    console.print(f"{answer['formula']} {answer['limits']}", soft_wrap=True)


def _rows(schemes: list[dict[str, Any]]) -> Iterator[list[str]]:
    for scheme in schemes:
        logits = {"value": scheme["sqnr_db"], **scheme["sqnr_band_db"]}
        worst = min((part["sqnr_db"] for part in scheme["products"]), key=lambda ratio: ratio["value"])
        yield [scheme["scheme"], figure(logits, 1), figure(worst, 1), _recovery(scheme["recovery"])]


def _recovery(told: Mapping[str, Any]) -> str:
    if told["standing"] != "published":
        return str(told["standing"])
    return f"{told['low']:.1%} to {told['high']:.1%}"
