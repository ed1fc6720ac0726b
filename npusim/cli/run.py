"""`npusim run`: what a serving run of one shape and load scores."""

from __future__ import annotations

from collections.abc import Iterator
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

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.mapping.deployment import Deployment

_LEAST_MS = 0.005
_STATISTICS = ("mean", "p50", "p90", "p99")
_LATENCIES = {
    "ttft_ms": "time to first token",
    "tpot_ms": "time per output token",
    "itl_ms": "inter-token latency",
    "e2e_ms": "end to end",
}
_RATES = {
    "output_tokens_per_s": ("output throughput", "tokens/s", 1),
    "total_tokens_per_s": ("total throughput, prompts included", "tokens/s", 1),
    "tokens_per_s_per_user": ("speed per user", "tokens/s", 2),
    "tokens_per_joule": ("energy efficiency", "output tokens/J", 3),
}


@click.command()
@click.argument("arch")
@click.argument("model")
@click.option("--isl", type=int, required=True, metavar="I", help="Prompt tokens of every request.")
@click.option("--osl", type=int, required=True, metavar="O", help="Output tokens of every request.")
@click.option("--concurrency", type=int, required=True, metavar="C", help="Users, each with one request in flight.")
@click.option("--requests", type=int, metavar="N", help="Requests in all [default: 3 per user].")
@click.option(
    "--arrival",
    default="closed",
    show_default=True,
    metavar="closed|burst|poisson:R",
    help="closed: each user waits for its answer; burst: all requests are due at once; poisson: R requests/s.",
)
@click.option(
    "--shared-prefix", type=int, default=0, metavar="P", help="First tokens that all prompts share [default: none]."
)
@click.option("--interval", is_flag=True, help="Give every figure with its 90 % interval.")
@setup_options(cards=None)
@as_json_option
@click.pass_obj
def run(
    argv: list[str],
    arch: str,
    model: str,
    isl: int,
    osl: int,
    concurrency: int,
    requests: int | None,
    arrival: str,
    shared_prefix: int,
    interval: bool,
    setup: Setup,
    as_json: bool,
) -> None:
    """Predict latencies, throughput and power of a serving run."""
    from npusim.answers.bottleneck import bottleneck
    from npusim.answers.predict import predict_run, run_load
    from npusim.engine.compiled import ensure_compiled
    from npusim.serving.planning import best_for_run
    from npusim.serving.uncertainty import interval_text

    ensure_compiled(say)
    wish, deployment, found = wish_of(setup), deployment_of(arch, model, setup, tokens=isl + osl), None
    if wish is not None:
        load = run_load(isl=isl, osl=osl, concurrency=concurrency, requests=requests, arrival=arrival)
        found = best_for_run(deployment, load, concurrency, wish, setup.seed)
        deployment = found.best
    answer = predict_run(
        deployment,
        isl=isl,
        osl=osl,
        concurrency=concurrency,
        requests=requests,
        arrival=arrival,
        shared_prefix=shared_prefix,
        seed=setup.seed,
        interval_wanted=interval,
    )
    served = answer["users_in_service"]
    answer |= {"bottleneck": bottleneck(deployment, served, isl + osl // 2) if served else None}
    answer |= {"configuration": configuration(deployment)}
    if found is not None:
        answer |= {"plans": found.as_dict()}
    if interval:
        answer |= {"interval": interval_text(deployment.system, deployment.calibration)}
    if as_json:
        print_json({**answer, "manifest": manifest(argv, setup, [arch], [model])})
        return
    if found is not None:
        print_front(stdout_console(), found)
    told = f"prompts of {isl:,} and outputs of {osl:,} tokens, {concurrency:,} users, {arrival}"
    _print_answer(stdout_console(), deployment, told, answer)


def _print_answer(console: Console, deployment: Deployment, load: str, answer: dict[str, Any]) -> None:
    if not answer["fits"]:
        asked = answer["requests"] + answer["refused"]
        console.print(f"{answer['refused']:,} of {asked:,} requests were refused: {answer['refusal']}")
    console.print(f"{configuration_text(deployment)}: {load}; {answer['requests']:,} requests served.")
    if answer["requests"]:
        headings = ("latency [ms]", *_STATISTICS)
        console.print(table(headings, _latencies(answer)))
        console.print(table(("", "", ""), _rates(answer), text_columns=1))
        console.print(_bottleneck_text(answer["bottleneck"]))
    for line in caveats([deployment]):
        console.print(line)
    if "interval" in answer:
        console.print(f"{answer['interval']}.")


def _bottleneck_text(found: dict[str, Any]) -> str:
    shares = sorted(found["shares_ms"].items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {milliseconds:,.2f}" for name, milliseconds in shares if milliseconds >= _LEAST_MS)
    longest = ", ".join(f"{each['op']} {each['time_ms']:,.2f} ({each['fixed_ms']:,.2f})" for each in found["operators"])
    return (
        f"Bottleneck: {found['bound']}. A decode step of {found['sequences']:,} sequences over {found['context']:,} "
        f"tokens takes {found['step_ms']:,.2f} ms ({told}), of which {found['fixed_ms']:,.2f} ms are fixed costs: "
        f"links, launches, host. Longest operators of one chip, with their fixed costs: {longest} ms."
    )


def _latencies(answer: dict[str, Any]) -> Iterator[list[str]]:
    for name, label in _LATENCIES.items():
        yield [label, *(figure(answer[name][part]) for part in _STATISTICS)]


def _rates(answer: dict[str, Any]) -> Iterator[list[str]]:
    for name, (label, unit, digits) in _RATES.items():
        yield [label, figure(answer[name], digits), unit]
    yield ["power, mean", figure(answer["power_w"]["mean"], 1), "W"]
    yield ["power, 99th percentile over time", figure(answer["power_w"]["p99"], 1), "W"]
    yield ["KV memory in use at peak", figure(_percent(answer["kv_peak_fraction"]), 1), "%"]
    yield ["most users in service at once", figure(answer["users_in_service"], 0), ""]
    yield ["pre-emptions", figure(answer["preemptions"], 0), ""]
    if answer["prefix_hit_fraction"]:
        yield ["prompt tokens found in the prefix cache", figure(_percent(answer["prefix_hit_fraction"]), 1), "%"]


def _percent(fraction: Any) -> Any:
    if isinstance(fraction, dict):
        return {name: _percent(value) for name, value in fraction.items()}
    return None if fraction is None else 100.0 * fraction
