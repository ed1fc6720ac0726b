"""`npusim dram`: what one channel of a DRAM standard delivers under a stream of requests, and what binds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npusim import api
from npusim.api.channels import DramOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table

_BAR = "#"
_BAR_WIDTH = 40


@command(DramOptions)
def dram(asked: DramOptions, as_json: bool) -> None:
    """Run a stream of requests on one channel of a DRAM STANDARD, command by command.

    STANDARD is a shipped one (npusim list memories) or the path of your own. A request is one burst; the figures
    are no better than the timings of the standard, whose sources `npusim show STANDARD` gives.
    """
    found = api.dram.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(found.answer)


def _print(answer: Mapping[str, Any]) -> None:
    console = stdout_console()
    console.print(
        f"{answer['title']}: {figure(answer['achieved_gb_per_s'])} of {figure(answer['peak_gb_per_s'])} GB/s "
        f"({answer['fraction_of_peak']:.1%}), bound by {answer['bound']}."
    )
    if answer["commands"]["read"]:
        console.print(f"A read takes {figure(answer['latency_ns'], 1)} ns on average.")
    console.print(
        f"{answer['row_hit_rate']:.1%} of the requests find their row open; "
        f"{figure(answer['energy_pj_per_byte'], 1)} pJ a byte (assumed energies: see show)."
    )
    rows = [
        [name, f"{part:.1%}", _BAR * round(part * _BAR_WIDTH)]
        for name, part in sorted(answer["use"].items(), key=lambda item: -item[1])
    ]
    console.print(table(("limit", "taken up", ""), rows))
    console.print(answer["note"])
