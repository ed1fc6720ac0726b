"""`npusim run`: what a serving run of one shape and load scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from npusim import api
from npusim.answers.engines import idle_text
from npusim.answers.ttft import NAMES as PARTS
from npusim.api.caveats import caveats
from npusim.api.deploying import configuration_text
from npusim.api.runs import RunOptions
from npusim.cli.conditions import print_conditions
from npusim.cli.energy import energy_breakdown, reconciliation_text
from npusim.cli.moved import floor_text, moved_table
from npusim.cli.on_device import print_device
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.cli.plans import print_front
from npusim.engine.elasticity import meaning
from npusim.metric_row import Shown
from npusim.metrics import shown

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.cli.fitted_table import FittedTable
    from npusim.mapping.deployment import Deployment

_LEAST_MS = 0.005
_PREFIX_HITS = "prefix_hit_fraction"
"""Told where there were any."""


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
    _print_answer(stdout_console(), found.deployment, found.load_text, found.answer)


def _print_answer(console: Console, deployment: Deployment, load: str, answer: dict[str, Any]) -> None:
    if not answer["fits"]:
        asked = answer["requests"] + answer["refused"]
        console.print(f"{answer['refused']:,} of {asked:,} requests were refused: {answer['refusal']}")
    console.print(f"{configuration_text(deployment)}: {load}; {answer['requests']:,} requests served.")
    print_conditions(console, [answer["conditions"]])
    if answer["requests"]:
        console.print(table(*_latencies(answer)))
        if "ttft_parts" in answer:
            console.print(_ttft_table(answer["ttft_parts"]))
        if "steps_by_artifact" in answer:
            told = ", ".join(f"{name} {steps:,}" for name, steps in answer["steps_by_artifact"].items())
            console.print(f"Steps by compiled artifact: {told}.")
        console.print(table(("", "", ""), _others(answer), text_columns=1))
        if "kv_tier_hit_fraction" in answer:
            found = ", ".join(f"{name} {100.0 * part:.1f} %" for name, part in answer["kv_tier_hit_fraction"].items())
            console.print(f"Prompt tokens loaded from lower tiers of the prefix cache: {found}.")
        if "instances" in answer:
            console.print(_instances_text(answer["instances"]))
        if "pools" in answer:
            console.print(_pools_text(answer))
        if "slo" in answer:
            console.print(_slo_text(answer))
        if "device" in answer:
            print_device(console, answer["device"])
        console.print(energy_breakdown(answer))
        console.print(reconciliation_text(answer))
        console.print(_bottleneck_text(answer["bottleneck"]))
        console.print(moved_table(answer["bottleneck"], "What better resources take off the run"))
        if (idle := idle_text(answer["bottleneck"])) is not None:
            console.print(idle)
        if "pim_layout" in answer:
            console.print(_layout_text(answer["pim_layout"]))
    for line in caveats([deployment]):
        console.print(line)
    if "interval" in answer:
        console.print(f"{answer['interval']}.")


def _bottleneck_text(found: dict[str, Any]) -> str:
    shares = sorted(found["shares_ms"].items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {milliseconds:,.2f}" for name, milliseconds in shares if milliseconds >= _LEAST_MS)
    longest = ", ".join(f"{each['op']} {each['time_ms']:,.2f} ({each['fixed_ms']:,.2f})" for each in found["operators"])
    floor, parts = found["hidden_floor"], (found, found["prompt"], found["decode"])
    whole, prompt, decode = (meaning(part["bound"]) for part in parts)
    return (
        f"Bottleneck: {whole} (prompts: {prompt}; decode steps: {decode}). A decode step of {found['sequences']:,} "
        f"sequences over {found['context']:,} tokens takes {found['step_ms']:,.2f} ms ({told}), of which "
        f"{found['fixed_ms']:,.2f} ms are fixed costs: links, launches, host. Longest operators of one chip, with "
        f"their fixed costs: {longest} ms.{'' if floor is None else ' ' + floor_text(floor, 'ms')}"
    )


def _instances_text(told: dict[str, Any]) -> str:
    parts = [100.0 * each["utilisation"] for each in told["each"]]
    return (
        f"All figures are of {told['count']:,} instances together ({told['routing']}); each has steps in "
        f"{min(parts):.1f} to {max(parts):.1f} % of the time."
    )


def _pools_text(answer: dict[str, Any]) -> str:
    pools, moved = answer["pools"], answer["transfer_ms"]
    parts = [
        f"{name}: {pool['count']:,} servers of {pool['configuration']['arch']}, steps in "
        f"{100.0 * pool['utilisation']:.1f} % of the time, {pool['power_w_mean']:,.0f} W"
        for name, pool in ((name, pools[name]) for name in ("prefill", "decode"))
    ]
    rates = ", ".join(
        f"{name} {pools[name]['requests_per_s_possible']:,.3g}"
        for name in ("prefill", "transfer", "decode")
        if pools[name]["requests_per_s_possible"] is not None
    )
    return (
        f"All figures are of both pools together ({pools['routing']}). {'; '.join(parts)}. KV over "
        f"{pools['transfer']['link']}: {figure(moved['mean'])} ms (p99 {figure(moved['p99'])}). "
        f"Requests/s that each part could bear: {rates}; {pools['binding']} binds."
    )


def _slo_text(answer: dict[str, Any]) -> str:
    limits = ", ".join(f"{name} at most {limit:,g} ms" for name, limit in answer["slo"]["limits_ms"].items())
    least = "at least " if answer["slo"]["at_least"] else ""
    return f"Most users within the limits ({limits}): {least}{figure(answer['users_at_slo'], 0)}."


def _layout_text(told: dict[str, str]) -> str:
    readers = {"chip": "for the chip", "units": "for the PIM units", "both": "once for the chip and once for the units"}
    return f"Weights lie in memory {readers[told['weights']]}, the KV cache {readers[told['kv']]}."


def _latencies(answer: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and a line for each quantity that has a mean and percentiles, in ms."""
    rows = [row for row in shown(Shown.FOLDED) if row.unit == "ms"]
    statistics = list(dict.fromkeys(row.statistic for row in rows))
    meanings = dict.fromkeys((row.quantity, row.meaning) for row in rows)
    lines = [[told, *(figure(answer[name].get(part)) for part in statistics)] for name, told in meanings]
    return ["latency [ms]", *statistics], lines


def _ttft_table(told: dict[str, Any]) -> FittedTable:
    """A line a part of the time to the first token, in ms and in % of the whole, and one of the whole."""
    columns = {"mean": "mean"} | {name: f"{name} (request {number:,})" for name, number in told["requests"].items()}
    wholes = {name: sum(told[name].values()) for name in columns}
    lines = [[meaning, *(told[name][part] for name in columns)] for part, meaning in PARTS.items()]
    rows = [
        [meaning, *(cell for ms, whole in zip(values, wholes.values(), strict=True) for cell in _with_share(ms, whole))]
        for meaning, *values in [*lines, ["in all", *wholes.values()]]
    ]
    return table(["time to first token [ms]", *(each for name in columns.values() for each in (name, "%"))], rows)


def _with_share(value: float, whole: float) -> tuple[str, str]:
    return figure(value), figure(100.0 * value / whole, 1)


def _others(answer: dict[str, Any]) -> Iterator[list[str]]:
    for row in shown(Shown.RUN):
        value = answer[row.quantity][row.statistic] if row.statistic else answer[row.name]
        if (row.shown >= Shown.FOLDED and row.unit != "ms") or (row.name == _PREFIX_HITS and value):
            told = _percent(value) if row.percent else value
            yield [row.meaning, figure(told, row.digits), "%" if row.percent else row.unit]


def _percent(fraction: Any) -> Any:
    if isinstance(fraction, dict):
        return {name: _percent(value) for name, value in fraction.items()}
    return None if fraction is None else 100.0 * fraction
