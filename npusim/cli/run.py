"""`npusim run`: what a serving run of one shape and load scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from npusim import api
from npusim.api.caveats import caveats
from npusim.api.deploying import configuration_text
from npusim.api.runs import RunOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.cli.plans import print_front

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


@command(RunOptions)
def run(asked: RunOptions, as_json: bool) -> None:
    """Predict latencies, throughput and power of a serving run."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.run.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    if found.found is not None:
        print_front(stdout_console(), found.found)
    load = f"prompts of {asked.isl:,} and outputs of {asked.osl:,} tokens, {asked.concurrency:,} users, {asked.arrival}"
    _print_answer(stdout_console(), found.deployment, load, found.answer)


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
