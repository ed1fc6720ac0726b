"""What the event engine explains of a step: where its time would go without a resource, how operators are tiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from npusim.cli.output import figure, table

if TYPE_CHECKING:
    from rich.console import Console

_BOTTLENECK_HEADINGS = ("of", "resource", "on the critical path [us]", "saved if free [us]")
_STALL_HEADINGS = ("unit", "waits for", "us")
_TILING_HEADINGS = ("operator", "tiling", "us", "MACs useful", "why")


def print_simulated(console: Console, answer: dict[str, Any]) -> None:
    """Bottlenecks of the step and of each operator, then the planner's choices."""
    found = answer["bottlenecks"]
    stalls = [[entry["unit"], entry["cause"], figure(entry["us"], 1)] for entry in answer["stalls"]]
    console.print(table(_STALL_HEADINGS, stalls, "Stalls, mean over the units of a kind", text_columns=2))
    console.print(table(_BOTTLENECK_HEADINGS, _bottlenecks(found), "Bottlenecks", text_columns=2))
    console.print(
        table(_TILING_HEADINGS, _tilings(answer["tilings"]), "Tilings, and the next best of each", text_columns=2)
    )


def _bottlenecks(found: dict[str, Any]) -> Iterator[list[str]]:
    for resource, entry in found["step"].items():
        yield ["the step", resource, figure(entry["path_us"], 1), figure(entry["saved_us"], 1)]
    for entry in found["operators"]:
        yield [entry["op"], entry["resource"], figure(entry["path_us"], 1), figure(entry["saved_us"], 1)]


def _tilings(tilings: list[dict[str, Any]]) -> Iterator[list[str]]:
    for entry in tilings:
        yield [
            entry["op"],
            entry["choice"],
            figure(entry["predicted_us"], 1),
            f"{entry['useful']:.1%}",
            entry["reason"],
        ]
        if entry["runner_up"] is not None:
            yield ["", f"next: {entry['runner_up']}", figure(entry["runner_up_us"], 1), "", ""]
