"""`npusim neuromorphic`: what a claim of operations of an event-driven unit means, and what bounds it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from npusim import api
from npusim.api.neuromorphics import NeuromorphicOptions
from npusim.cli.fitted_table import NOTHING
from npusim.cli.options import command
from npusim.cli.output import print_json, stdout_console, table
from npusim.units import readable

_RATE = "op/s"


@command(NeuromorphicOptions)
def neuromorphic(asked: NeuromorphicOptions, as_json: bool) -> None:
    """Say which rate of synaptic operations the memory, the mesh and the power of an event-driven UNIT leave.

    UNIT is a shipped one (truenorth, loihi-2, spinnaker-2, darwin-3, pops-projection) or the path of your own. A claim
    is read in every way that it leaves open. A bound whose numbers are not told is not decidable; nothing is guessed.
    """
    found = api.neuromorphic.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    answer: Mapping[str, Any] = found.answer
    console = stdout_console()
    console.print(str(answer["title"]))
    headings = ("bound", "at worst", "usual", "at best", "not told")
    console.print(table(headings, _bounds(answer["bounds"]), title="most synaptic operations a second"))
    if answer["binding"] is not None:
        console.print(f"Binds at usual values: {answer['binding']}.")
    if answer["claim"] is not None:
        _print_claim(console, answer["claim"])
    if answer["network"] is not None:
        _print_network(console, answer["network"])
    if answer["hybrid"] is not None:
        _print_hybrid(console, answer["hybrid"])
    for line in (*answer["conventions"], answer["note"]):
        console.print(line, soft_wrap=True)


def _bounds(bounds: list[dict[str, Any]]) -> Iterator[list[str]]:
    for each in bounds:
        most = each["synaptic_ops_per_s"]
        ends = [_rate(most and most[end]) for end in ("low", "value", "high")]
        yield [each["name"], *ends, ", ".join(each["needs"]) if each["applies"] else "does not apply"]


def _print_claim(console: Console, claim: Mapping[str, Any]) -> None:
    headings = ("counted by", "operations per synapse", "asks for", "verdict", "breaks", "holds up to activity")
    rows = [
        [
            each["counted"],
            str(each["operations_per_synapse"]),
            _rate(each["synaptic_ops_per_s"]),
            each["verdict"],
            ", ".join(each["broken"]),
            _span(each["holds_to_activity"]),
        ]
        for each in claim["readings"]
    ]
    console.print(table(headings, rows, title="readings of the claim"))
    _print_verdict(console, claim)


def _print_network(console: Console, network: Mapping[str, Any]) -> None:
    rate = network["highest_rate_hz"]
    power = network["power_w"]
    rows = [
        ["synapses", _count(network["synapses"])],
        ["spikes a step", _count(network["spikes_per_step"])],
        ["spikes a second", _count(network["spikes_per_s"])],
        ["synaptic operations", _rate(network["synaptic_ops_per_s"])],
        ["dense-equivalent operations", _rate(network["dense_equivalent_ops_per_s"])],
        ["power [W]", _span(power)],
        ["highest rate of steps [Hz]", _span(rate)],
        *([f"room for {name}", word] for name, word in network["fits"].items()),
    ]
    console.print(table(("figure of the network", ""), rows))
    _print_verdict(console, network)


def _print_hybrid(console: Console, hybrid: Mapping[str, Any]) -> None:
    rows = [
        [
            row["layer"],
            row["unit"] or NOTHING,
            _span(row["least_s"], 1e3),
            row["bound"] or NOTHING,
            ", ".join(row["needs"]),
        ]
        for row in hybrid["layers"]
    ]
    console.print(table(("layer", "unit", "least time [ms]", "bound", "not told"), rows, text_columns=2))
    if hybrid["least_s"] is None:
        console.print(f"Not decidable: {', '.join(hybrid['needs'])} would have to be told.", soft_wrap=True)
        return
    console.print(
        f"An answer takes {_span(hybrid['least_s'], 1e3)} ms or more, {hybrid['order']}: event-driven "
        f"{_span(hybrid['event_s'], 1e3)} ms, dense {_span(hybrid['dense_s'], 1e3)} ms."
    )


def _print_verdict(console: Console, judged: Mapping[str, Any]) -> None:
    console.print(f"Verdict: {judged['verdict']}.")
    if judged["needs"]:
        console.print(f"What would have to be told: {', '.join(judged['needs'])}.", soft_wrap=True)
    if judged["ranges"]:
        console.print(f"What is left open by ranges of numbers: {', '.join(judged['ranges'])}.", soft_wrap=True)


def _rate(value: float | None) -> str:
    return NOTHING if value is None or not math.isfinite(value) else readable(value, _RATE)


def _count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.4g}" if value < 1 else f"{value:,.0f}"


def _span(ends: Mapping[str, float] | None, factor: float = 1.0) -> str:
    if ends is None:
        return NOTHING
    low, value, high = (f"{ends[end] * factor:,.3g}" for end in ("low", "value", "high"))
    return value if low == high else f"{value} ({low} to {high})"
