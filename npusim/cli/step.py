"""`npusim step`: what one decode or prefill step takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.deployment import (
    caveats,
    configuration,
    configuration_text,
    deployment_of,
    manifest,
    print_front,
    wish_of,
)
from npusim.cli.options import Setup, as_json_option, setup_options
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.cli.simulated import print_simulated
from npusim.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.mapping.deployment import Deployment

_BAR_WIDTH = 40
_BAR = "#"
_GIGABYTE = 1e9


@click.command()
@click.argument("arch")
@click.argument("model")
@click.option("--phase", type=click.Choice(("decode", "prefill")), required=True)
@click.option("--batch", type=int, required=True, metavar="B", help="Sequences in the step.")
@click.option("--context", type=int, required=True, metavar="C", help="Tokens attended, new ones included.")
@click.option("--query", type=int, metavar="Q", help="New tokens of a prefill [default: the whole context].")
@click.option("--interval", is_flag=True, help="Give time, energy and power with their 90 % intervals.")
@click.option(
    "--engine",
    type=click.Choice(("analytic", "event")),
    default="analytic",
    show_default=True,
    help="Closed forms, or the chip event by event.",
)
@click.option(
    "--trace", metavar="FILE", help="Write the event engine's timeline for ui.perfetto.dev (.json: Chrome's format)."
)
@click.option("--explain", is_flag=True, help="Tell every operator, and every assumed number.")
@setup_options(cards=None)
@as_json_option
@click.pass_obj
def step(
    argv: list[str],
    arch: str,
    model: str,
    phase: str,
    batch: int,
    context: int,
    query: int | None,
    interval: bool,
    engine: str,
    trace: str | None,
    explain: bool,
    setup: Setup,
    as_json: bool,
) -> None:
    """Predict the time, energy and bound of one step."""
    from npusim.answers.predict import predict_step
    from npusim.engine.compiled import ensure_compiled
    from npusim.serving.planning import best_for_step
    from npusim.serving.uncertainty import interval_text

    if trace is not None and engine != "event":
        raise UserError("--trace", "", "only the event engine has a timeline; add --engine event")
    ensure_compiled(say)
    wish, deployment, found = wish_of(setup), deployment_of(arch, model, setup, tokens=batch * context), None
    if wish is not None:
        found = best_for_step(deployment, phase, batch, query or context, context, wish)
        deployment = found.best
    answer = predict_step(
        deployment,
        phase,
        batch,
        context,
        query,
        seed=setup.seed,
        interval_wanted=interval,
        engine=engine,
        explain=explain,
        trace=None if trace is None else Path(trace),
    )
    if trace is not None:
        say(f"wrote {trace}")
    answer |= {"configuration": configuration(deployment)}
    if found is not None:
        answer |= {"plans": found.as_dict()}
    if interval:
        answer |= {"interval": interval_text(deployment.system, deployment.calibration)}
    if explain:
        answer |= {"assumptions": _assumptions(deployment)}
    if as_json:
        print_json({**answer, "manifest": manifest(argv, setup, [arch], [model])})
        return
    if found is not None:
        print_front(stdout_console(), found)
    _print_answer(stdout_console(), deployment, answer)


def _assumptions(deployment: Deployment) -> list[dict[str, Any]]:
    """The assumed numbers among all that a result of the deployment can hang on."""
    return [
        {"owner": item.owner, "path": item.path, **item.quantity.model_dump(exclude={"sd", "date"})}
        for item in deployment.provenances()
        if item.quantity.is_assumed
    ]


def _print_answer(console: Console, deployment: Deployment, answer: dict[str, Any]) -> None:
    batch, new = answer["batch"], answer["query"]
    work = "1 new token each" if answer["phase"] == "decode" else f"{new:,} new tokens each"
    console.print(
        f"One {answer['phase']} step of {configuration_text(deployment)}: {batch:,} "
        f"{'sequence' if batch == 1 else 'sequences'}, {work}, context {answer['context']:,} tokens."
    )
    console.print(
        f"{figure(answer['time_us'], 1)} us on the chip, bound by {answer['bound']}"
        f"{_host_text(answer['host_us'])}; {figure(answer['energy_j'], 3)} J, {figure(answer['power_w'], 1)} W."
    )
    if answer["clock"] < 1.0:
        console.print(f"The power cap holds the clock at {answer['clock']:.0%} of its full rate.")
    if "events" in answer:
        rate = answer["memory_rate_bytes_per_s"]
        console.print(
            f"Simulated in {answer['events']:,} events; shares are those of the critical path. Memory streams "
            f"{figure(rate['mean'] / _GIGABYTE, 0)} GB/s on average, {figure(rate['peak'] / _GIGABYTE, 0)} at most."
        )
    console.print(table(("resource", "us", "share", ""), _breakdown(answer)))
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
        title = "Assumed numbers that results of this deployment can hang on"
        console.print(table(headings, rows, title, text_columns=5))
    for line in caveats([deployment]):
        console.print(line)
    if "interval" in answer:
        console.print(f"{answer['interval']}.")


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
