"""`npusim pim`: what memories with PIM units do alone, and what a design gains by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from npusim import api
from npusim.api.pims import AttentionOptions, BenchResult, GemvOptions, StreamOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.cli.pim_compare import compare_offload

_BAR = "#"
_BAR_WIDTH = 40
_UJ = 1e6


@click.group("pim")
def pim() -> None:
    """Memories with PIM units: single operations (gemv, attention, stream), and designs with and without (compare).

    MEMORY is a shipped one (npusim list pims), the path of your own, or an architecture that has one.
    """


@command(GemvOptions)
def gemv(asked: GemvOptions, as_json: bool) -> None:
    """A matrix-vector product w[N, K] . x on the units of MEMORY."""
    _print(api.pim_gemv.of(asked), as_json)


@command(AttentionOptions)
def attention(asked: AttentionOptions, as_json: bool) -> None:
    """Attention of decoding sequences on the units of MEMORY."""
    _print(api.pim_attention.of(asked), as_json)


@command(StreamOptions)
def stream(asked: StreamOptions, as_json: bool) -> None:
    """An element-wise operation on the units of MEMORY."""
    _print(api.pim_stream.of(asked), as_json)


for _command in (gemv, attention, stream, compare_offload):
    pim.add_command(_command)


def _print(found: BenchResult, as_json: bool) -> None:
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print_answer(found.described.title, found.answer)


def _print_answer(title: str, answer: Mapping[str, Any]) -> None:
    console = stdout_console()
    console.print(
        f"{answer['op']} in {answer['dtype']} on {title}{'' if answer['silicon'] else ' (no public silicon)'}"
    )
    console.print(
        f"{figure(answer['time_us'])} us ({figure(answer['cycles'], 0)} clocks in the memory), "
        f"{figure(answer['speedup'])} times the host's stream of the same bytes ({figure(answer['baseline_us'])} us); "
        f"{answer['fraction_of_peak']:.1%} of the all-bank rate; bound by {answer['bound']}."
    )
    console.print(
        f"{figure(_scaled(answer['energy_j']))} uJ beside {figure(_scaled(answer['baseline_energy_j']))} uJ of the "
        "stream (memory device alone, refresh and rest included)."
    )
    console.print(table(("cost", "us", "share", ""), _breakdown(answer)))
    console.print(_controller_text(answer["controller"]))
    if answer["assumptions"]:
        rows = [[item["path"], item["text"], item["range"], item["source"]] for item in answer["assumptions"]]
        console.print(table(("assumed number", "value", "90 % range", "source"), rows, text_columns=4))
    if answer["note"]:
        console.print(answer["note"].strip())


def _controller_text(told: Mapping[str, Any]) -> str:
    budget = told["channel_power_budget_w"]
    limit = "no power budget is known" if budget is None else f"of a budget of {figure(budget)} W"
    return (
        f"Controller: {figure(told['mode_switch_us'], 3)} us to switch modes there and back, of which "
        f"{figure(told['host_drain_us'], 3)} us the host's requests leave; a MAC every "
        f"{figure(told['limited_mac_interval_cycles'])} clocks ({figure(told['mac_interval_cycles'])} without a power "
        f"limit); {figure(told['channel_power_w'])} W of commands a channel, {limit}; refresh takes "
        f"{told['refresh_fraction']:.1%} of the clocks; {told['host_time_fraction_beside']:.0%} of the host's time may "
        "pass beside the units."
    )


def _scaled(joules: Any) -> Any:
    return {name: value * _UJ for name, value in joules.items()} if isinstance(joules, dict) else joules * _UJ


def _breakdown(answer: Mapping[str, Any]) -> Iterator[list[str]]:
    spent = answer["breakdown_us"]
    whole = sum(spent.values())
    for name, time_us in spent.items():
        share = time_us / whole
        yield [name, figure(time_us, 3), f"{share:.1%}", _BAR * round(share * _BAR_WIDTH)]
