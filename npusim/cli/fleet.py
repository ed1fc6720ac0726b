"""`npusim fleet`: from one instance to the servers, racks and watts of a service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from npusim import api
from npusim.api.caveats import caveats
from npusim.api.fleets import COMPOSITION, FleetOptions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.metric_names import metric

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.explore.fleet.autoscale import Autoscaled
    from npusim.explore.fleet.option import FleetOption

_ROWS = (
    ("servers", "servers, spares included", 0),
    ("instances", "instances at the peak", 0),
    ("cards", "cards", 0),
    ("racks", "racks", 0),
    ("kw_card", "kW of the cards at the peak", 0),
    ("kw_wall", "kW at the wall at the peak", 0),
    ("tokens_per_s", "output tokens/s at the peak", 0),
    ("requests_per_s_per_instance", "requests/s of an instance", 2),
    ("kwh_per_day_wall", "kWh a day at the wall", 0),
    ("kwh_per_million_tokens", "kWh a million output tokens", 2),
)
_MOST_DECIDING = 5
_WHEN = ("before", "after")
_DISTURBED = {
    "rack_down": "a rack that fails at the peak",
    "late_start": "servers that start without a forecast in the steepest hour",
}


@command(FleetOptions)
def fleet(asked: FleetOptions, as_json: bool) -> None:
    """Size a fleet: servers, racks and watts for so many users at objectives of latency, or for tokens a day."""
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.fleet.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    console = stdout_console()
    _print(console, found.options, found.profile.title)
    where = [each.deployment for each in found.options if each.deployment is not None]
    for line in caveats(where, asked.lang, of_cards=False):
        console.print(line)
    if found.files:
        console.print(f"Written: {', '.join(found.files)}.", soft_wrap=True)


def _print(console: Console, options: list[FleetOption], title: str) -> None:
    serving = [each for each in options if each.draws is not None]
    if serving:
        rows = [[words, *(_ranged(each, name, digits) for each in serving)] for name, words, digits in _ROWS]
        headings = ["value (90 % interval)", *(each.arch for each in serving)]
        console.print(table(headings, rows, title))
    for each in options:
        if each.reason:
            console.print(f"{each.arch}: no fleet: {each.reason}.")
    for each in serving:
        for line in _about(each):
            console.print(line)
    console.print(COMPOSITION)


def _ranged(option: FleetOption, name: str, digits: int) -> str:
    low, high = option.interval(name)
    if math.isnan(option.value(name)):
        return "unknown"
    if math.isnan(low):
        return figure(option.value(name), digits)
    end = "no end" if math.isinf(high) else figure(high, digits)
    return f"{figure(option.value(name), digits)} ({figure(low, digits)} to {end})"


def _about(option: FleetOption) -> list[str]:
    """What stands behind the figures of one architecture, a line each."""
    told = option.instance
    rows = {name: metric(name) for name in told}
    limits = ", ".join(f"{name} {told[name]:,.4g} ms" for name, row in rows.items() if row and row.unit == "ms")
    if option.pools is not None:
        return [
            _pools_text(option),
            *(f"{option.arch}: {name} unknown: {why}." for name, why in option.unknown.items()),
        ]
    lines = [
        f"{option.arch}: {told['per_server']} instances of {told['cards']} cards ({told['plan']}) in a server, each "
        f"{told['requests_per_s']:,.3g} requests/s{f' at {limits}' if limits else ''}; "
        f"{option.spare_servers:,.0f} servers are spare."
    ]
    lines += [f"{option.arch}: {name} unknown: {reason}." for name, reason in option.unknown.items()]
    if option.later:
        years = ", ".join(f"{figure(servers, 0)} in {year}" for year, servers in option.later.items())
        lines.append(f"{option.arch}: servers as users grow, by years: {years}.")
    for each in option.deciding[:_MOST_DECIDING]:
        ends = " to ".join("no end" if math.isinf(end) else figure(end, 0) for end in (each.low, each.high))
        lines.append(f"{option.arch} hangs on {each.owner}.{each.path} ({100.0 * each.share:.0f} %): {ends} servers.")
    if option.autoscaled is not None:
        lines.append(_autoscaled_text(option.arch, option.autoscaled))
    if option.direct is not None and "kept" in option.direct:
        lines.append(_served_text(option.arch, option.direct))
    elif option.direct is not None:
        told = option.direct
        ratio = 100.0 * (told["estimated_servers_over_simulated"] - 1.0)
        lines.append(
            f"{option.arch}: {told['instances']:,} instances simulated together ({told['routing']}) serve "
            f"{told['requests_per_s_per_instance']:,.4g} requests/s each: the estimate has {ratio:+.1f} % servers."
        )
        lines += [_disturbed_text(option.arch, words, told[name]) for name, words in _DISTURBED.items() if name in told]
    if option.offline is not None:
        lines.append(_offline_text(option))
    return lines


def _served_text(arch: str, told: Mapping[str, Any]) -> str:
    """What instances did that served a trace or a load."""
    kept = "keep the objectives" if told["kept"] else "do not keep the objectives"
    figures = ", ".join(f"{name} {value:,.4g} ms" for name, value in told.items() if name.endswith("_p99"))
    refused = f", {told['refused']:,} of them refused" if told["refused"] else ""
    return (
        f"{arch}: {told['instances']:,} instances simulated together ({told['routing']}) {kept} under "
        f"{told['requests']:,} requests{refused}: {figures}."
    )


def _pools_text(option: FleetOption) -> str:
    """How many servers of each pool, and what goes between them."""
    told = option.pools or {}
    pools = ", ".join(
        f"{name} {told[name]['servers']:,.0f} servers of {told[name]['arch']} ({told[name]['plan']})"
        for name in ("prefill", "decode")
    )
    moved = told["transfer"]
    rate = f"{moved['bytes_per_s'] / 1e9:,.4g} GB/s over {moved['link']} at the peak"
    unit = f"{option.instance['plan']} serve {option.instance['requests_per_s']:,.3g} requests/s"
    return f"{option.arch}: {pools}; {unit}; {rate}; {option.spare_servers:,.0f} servers are spare."


def _disturbed_text(arch: str, words: str, told: Mapping[str, Any]) -> str:
    if "reason" in told:
        return f"{arch}: {words}: {told['reason']}."
    before, after = (", ".join(f"{name} {value:,.4g} ms" for name, value in told[when].items()) for when in _WHEN)
    kept = "are kept" if told["kept_after"] else "are broken"
    return (
        f"{arch}: {words} ({told['changed']} of {told['instances']} instances): {before}, then {after}; limits {kept}."
    )


def _autoscaled_text(arch: str, found: Autoscaled) -> str:
    start, low, high = found.cold.seconds
    least = ", the least: --ready-time is not told" if found.cold.ready_s is None else ""
    on = f"{found.servers_on.min():,.0f} to {found.servers_on.max():,.0f}"
    text = f"{arch}: {on} servers are on, {found.starts:,.0f} start a day from {found.cold.tier} in {start:,.3g} s"
    text += f" ({low:,.3g} to {high:,.3g}{least})"
    if math.isnan(found.kwh):
        return f"{text}; the wall is unknown."
    return f"{text}; {found.kwh:,.0f} kWh a day at the wall in place of {found.kwh_always_on:,.0f}."


def _offline_text(option: FleetOption) -> str:
    told = option.offline or {}
    text = f"{option.arch}: {figure(told['tokens_per_day_per_server'], 0)} output tokens a day of a server at full load"
    if "days" in told:
        text += f"; {told['corpus_tokens']:,.4g} tokens in {told['days']:,.4g} days"
    if "kept_bytes_per_day" in told:
        text += f"; {told['kept_bytes_per_day'] / 1e12:,.4g} TB of logits a day"
    return f"{text}."
