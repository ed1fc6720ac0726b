"""`npusim collective`: what one collective takes on the fabric of an architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npusim import api
from npusim.api.collectives import CollectiveOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table


@command(CollectiveOptions)
def collective(asked: CollectiveOptions, as_json: bool) -> None:
    """Predict the time of a collective, and name the algorithm that is fastest."""
    found = api.collective.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(found.answer)


def _print(answer: Mapping[str, Any]) -> None:
    console = stdout_console()
    several = f", {answer['groups']} groups at once" if answer["groups"] > 1 else ""
    console.print(
        f"{answer['op']} of {figure(answer['bytes'], 0)} B over {answer['ranks']} ranks of {answer['arch']}{several}: "
        f"{figure(answer['time_us'])} us by {answer['algorithm']} ({answer['transport']}), bound by {answer['bound']} "
        f"on {answer['link']}; each rank sends {figure(answer['bytes_per_rank'], 0)} B, bus bandwidth "
        f"{figure(answer['busbw_bytes_per_s'] / 1e9)} GB/s."
    )
    rows = [
        [each["algorithm"], each["transport"], figure(each["time_us"]), figure(each["latency_us"]), each["bound"]]
        for each in answer["candidates"]
    ]
    if rows:
        console.print(table(("algorithm", "transport", "us", "of it latency [us]", "bound"), rows, text_columns=2))
