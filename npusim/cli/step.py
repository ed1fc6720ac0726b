"""`npusim step`: what one decode or prefill step takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from npusim import api
from npusim.answers.engines import idle_text
from npusim.api.caveats import caveats
from npusim.api.deploying import configuration_text
from npusim.api.steps import StepOptions
from npusim.cli.conditions import print_conditions
from npusim.cli.energy import energy_breakdown, reconciliation_text
from npusim.cli.moved import floor_text, moved_table
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.cli.plans import print_front
from npusim.cli.simulated import print_simulated
from npusim.engine.elasticity import meaning
from npusim.units import GB

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.mapping.deployment import Deployment

_BAR_WIDTH = 40
_BAR = "#"
_TOLD_US = 0.5
"""Least difference between the engines that is told, in microseconds."""


@command(StepOptions)
def step(asked: StepOptions, as_json: bool) -> None:
    """Predict the time, energy and bound of one step."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.step.of(asked)
    if asked.trace is not None:
        say(f"wrote {asked.trace}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    if found.found is not None:
        print_front(stdout_console(), found.found)
    _print_answer(stdout_console(), found.deployment, found.answer)


def _print_answer(console: Console, deployment: Deployment, answer: dict[str, Any]) -> None:
    batch, new = answer["batch"], answer["query"]
    work = "1 new token each" if answer["phase"] == "decode" else f"{new:,} new tokens each"
    console.print(
        f"One {answer['phase']} step of {configuration_text(deployment)}: {batch:,} "
        f"{'sequence' if batch == 1 else 'sequences'}, {work}, context {answer['context']:,} tokens."
    )
    print_conditions(console, [answer["conditions"]])
    console.print(
        f"{figure(answer['time_us'], 1)} us on the chip, bound by {meaning(answer['bound'])}"
        f"{_host_text(answer['host_us'])}; {figure(answer['energy_j'], 3)} J, {figure(answer['power_w'], 1)} W."
    )
    if answer["clock"] < 1.0 or answer["duty"] < 1.0:
        slowed = f" and slows memory and all else to {answer['duty']:.0%}" if answer["duty"] < 1.0 else ""
        console.print(f"The power cap holds the clock at {answer['clock']:.0%} of its full rate{slowed}.")
    if (idle := idle_text(answer)) is not None:
        console.print(idle)
    if answer.get("sub_batches", 1) > 1:
        console.print("The batch is split in two: one half is on the PIM units while the other is on the chip.")
    if "events" in answer:
        rate = answer["memory_rate_bytes_per_s"]
        console.print(
            f"Simulated in {answer['events']:,} events; shares are those of the critical path. Memory streams "
            f"{figure(rate['mean'] / GB, 0)} GB/s on average, {figure(rate['peak'] / GB, 0)} at most."
        )
        console.print(_engines_text(answer["engines"]))
    console.print(table(("resource", "us", "share", ""), _breakdown(answer)))
    console.print(energy_breakdown(answer))
    console.print(reconciliation_text(answer))
    console.print(moved_table(answer, "What better resources take off the step, host time included"))
    if answer["hidden_floor"] is not None:
        console.print(floor_text(answer["hidden_floor"], "us"))
    if "assumptions" in answer:
        from npusim.ledger import range_text

        console.print(table(_OPERATOR_HEADINGS, _operators(answer["ops"]), "Operators of one chip, repeats together"))
        if "bottlenecks" in answer:
            print_simulated(console, answer)
        headings = ("of", "number", "value", "range", "source")
        rows = [
            [item["owner"], item["path"], item["text"], range_text(item), item["source"]]
            for item in answer["assumptions"]
        ]
        title = "Assumed numbers that results of this deployment can depend on"
        console.print(table(headings, rows, title, text_columns=5))
    for line in caveats([deployment]):
        console.print(line)
    if "interval" in answer:
        console.print(f"{answer['interval']}.")


def _engines_text(engines: dict[str, Any]) -> str:
    """What the closed forms say, and the largest differences."""
    causes = [f"{each['cause']} {each['us']:+,.0f}" for each in engines["causes"] if abs(each["us"]) >= _TOLD_US]
    shared = [f"{name} {lost:,.0f}" for name, lost in engines["contention_us"].items() if lost >= _TOLD_US]
    told = f"The closed forms say {figure(engines['analytic_us'], 1)} us, this is {engines['difference']:+.1%}"
    told += f": {', '.join(causes)} us" if causes else ""
    return told + (f". Units were slowed by sharing: {', '.join(shared)} us." if shared else ".")


def _host_text(host_us: float) -> str:
    return f", and {figure(host_us, 1)} us of host time that it does not hide" if host_us > 0.0 else ""


def _breakdown(answer: dict[str, Any]) -> Iterator[list[str]]:
    total = sum(answer["breakdown_us"].values())
    for resource, spent in answer["breakdown_us"].items():
        share = spent / total
        yield [resource, figure(spent, 1), f"{share:.1%}", _BAR * round(share * _BAR_WIDTH)]


_OPERATOR_HEADINGS = ("operator", "repeats", "shape", "memory [MiB]", "time [us]", "bound")


def _operators(operators: list[dict[str, Any]]) -> Iterator[list[str]]:
    for item in operators:
        yield [
            item["op"],
            figure(item["repeat"], 0),
            _shape_text(item),
            figure(item["memory_bytes"] / 2**20),
            figure(item["time_us"], 1),
            item["bound"],
        ]


def _shape_text(item: dict[str, Any]) -> str:
    if item["kind"] == "attention":
        return f"{item['batch']:,.0f} sequences, {item['query']:,.0f} new, {item['kv']:,.0f} in context"
    names = ("m", "n", "k") if item["kind"] == "linear" else ("m", "n")
    return " x ".join(f"{item[name]:,.0f}" for name in names)
