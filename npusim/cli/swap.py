"""`npusim swap`: several models on the same cards, and what swapping their weights takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from npusim import api
from npusim.api.swapping import SwapOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.units import GB, GIB


@command(SwapOptions)
def swap(asked: SwapOptions, as_json: bool) -> None:
    """Say which of several MODELs stay in the memory of ARCH together, and what loading another one takes.

    Each model is served by all the cards. Ranges are at the ends of the ranges of the links' numbers.
    """
    found = api.swap.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    console, answer = stdout_console(), found.answer
    models: Any = answer["models"]
    headings = ("model", "precision", "weights [GiB]", "of a chip [GiB]", "stays", "from", "rate [GB/s]", "bound by")
    added = "added to the first token [s]" if asked.ready_s is not None else "added at least [s]"
    columns = (*headings, "loading [s]", added, "swaps/h at half the time")
    console.print(table(columns, list(_rows(models)), text_columns=2))
    console.print(
        f"{figure(answer['usable_bytes_per_chip'] / GIB)} GiB of a chip are usable, of which "  # type: ignore[operator]
        f"{figure(answer['free_bytes_per_chip'] / GIB)} GiB are left beside the models that stay, each with room for "  # type: ignore[operator]
        f"{asked.kv_tokens:,} tokens of KV cache or more. Time until a loaded model is ready: {_ready(asked.ready_s)}.",
        soft_wrap=True,
    )
    for name in dict.fromkeys(
        swap["from"] for each in models for swap in each["swaps"] if not swap["has_room_for_all"]
    ):
        console.print(f"{name} has no room for the weights of all models.", soft_wrap=True)
    console.print(str(answer["policy"]), soft_wrap=True)


def _ready(seconds: float | None) -> str:
    return "unknown, and left out" if seconds is None else f"{seconds:g} s, as told"


def _rows(models: list[dict[str, Any]]) -> Iterator[list[str]]:
    for model in models:
        own = [
            model["model"],
            model["precision"],
            figure(model["weight_bytes"] / GIB),
            figure(model["weight_bytes_per_chip"] / GIB),
            "yes" if model["resident"] else "no",
        ]
        for each in model["swaps"]:
            rates = each["from"], figure(each["bytes_per_s"] / GB), each["bound"]
            times = (figure(each[name]) for name in ("load_s", "ttft_added_s"))
            yield [*own, *rates, *times, figure(each["swaps_per_hour_at_half"], 0)]
            own = [""] * len(own)
