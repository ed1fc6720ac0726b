"""Fleets as a report: the plan side by side, the day, what decides, and how it was worked out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from npusim.explore.fleet.option import FleetOption
from npusim.explore.fleet.plans import Tried
from npusim.explore.fleet.table import SHOWN
from npusim.kperf.table import Column
from npusim.ledger import Quantity
from npusim.report.charts import COLOURS, layout, tornado
from npusim.report.page import Block, Chart, Page, Section, Table, Text
from npusim.units import readable
from npusim.words import Say
from npusim.workload.profile import Profile


def fleet_page(
    options: Sequence[FleetOption],
    profile: Profile,
    notes: Sequence[str],
    manifest: Mapping[str, Any],
    say: Say,
    language: str,
) -> Page:
    """The report in the language that `say` speaks. notes: what every reader of the predictions must know."""
    serving = [each for each in options if each.draws is not None]
    sections = [Section(say("Capacity plan"), list(_plan(options, serving, say)))]
    if serving:
        sections += [
            Section(say("The day, hour by hour"), list(_day(serving, say))),
            Section(say("The assumptions that move servers most"), list(_deciding(serving, say))),
        ]
    sections.append(Section(say("How it was made"), list(_method(serving, say))))
    summary = [*_demand(serving, say), *notes]
    words = {"contents": say("Contents"), "manifest": say("Manifest")}
    return Page(say("Fleet: {title}", title=profile.title), summary, sections, manifest, language, words)


def _demand(serving: Sequence[FleetOption], say: Say) -> Iterator[str]:
    if not serving:
        yield say("No architecture can serve what is asked for; the reasons stand below.")
        return
    told = serving[0].demand
    yield say(
        "{day} requests a day, {peak} a second at the peak, with {prompt} prompt tokens and {output} output tokens in "
        "the mean: {tokens} output tokens a day.",
        day=f"{told['requests_per_day']:,.0f}",
        peak=f"{told['requests_per_s_peak']:,.1f}",
        prompt=f"{told['prompt_tokens_mean']:,.0f}",
        output=f"{told['output_tokens_mean']:,.0f}",
        tokens=f"{told['output_tokens_per_day']:,.0f}",
    )


def _plan(options: Sequence[FleetOption], serving: Sequence[FleetOption], say: Say) -> Iterator[Block]:
    if serving:
        headings = [say("Value (90 % interval)"), *(each.title for each in serving)]
        rows = [[column.label_in(say), *(_ranged(each, column, say) for each in serving)] for column in SHOWN]
        rows.append([say("Spare servers among them"), *(f"{each.spare_servers:,.0f}" for each in serving)])
        yield Table(say("Architectures side by side."), headings, rows, frozenset(range(1, len(headings))))
        yield Chart(say("Servers, with the 90 % interval."), _servers(serving, say))
    for each in options:
        if each.reason is not None:
            reason = each.reason.in_words_of(say)
            yield Text(say("{title} has no fleet: {reason}.", title=each.title, reason=reason), "warning")
    for each in serving:
        for reason in dict.fromkeys(why.in_words_of(say) for why in each.unknown.values()):
            yield Text(_unknown(each, reason, say), "note")


def _unknown(option: FleetOption, reason: str, say: Say) -> str:
    """The figures that one reason leaves unknown, in a sentence."""
    names = [name for name, why in option.unknown.items() if why.in_words_of(say) == reason]
    headings = "; ".join(say(item.heading) for item in SHOWN if item.name in names) or say("the interval")
    return say("{title}: {figure} is unknown: {reason}.", title=option.title, figure=headings, reason=reason)


def _ranged(option: FleetOption, column: Column, say: Say) -> str:
    low, high = option.interval(column.name)
    value = option.value(column.name)
    if math.isnan(value):
        return say("unknown")
    digits = len(column.number.partition(".")[2])
    if math.isnan(low):
        return f"{value:,.{digits}f}"
    end = say("no end") if math.isinf(high) else f"{high:,.{digits}f}"
    return f"{value:,.{digits}f} ({say('{low} to {high}', low=f'{low:,.{digits}f}', high=end)})"


def _servers(serving: Sequence[FleetOption], say: Say) -> go.Figure:
    values = [each.value("servers") for each in serving]
    ends = [each.interval("servers") for each in serving]
    up = [high - value if math.isfinite(high) else 0.0 for value, (_, high) in zip(values, ends, strict=True)]
    figure = go.Figure()
    figure.add_bar(
        y=[each.title for each in serving],
        x=values,
        orientation="h",
        marker={"color": COLOURS[0]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": [
                value - low if math.isfinite(low) else 0.0 for value, (low, _) in zip(values, ends, strict=True)
            ],
        },
    )
    figure.update_yaxes(automargin=True, autorange="reversed")
    figure.update_layout(height=160 + 60 * len(serving))
    return layout(figure, say("Servers, spares included"), "")


def _day(serving: Sequence[FleetOption], say: Say) -> Iterator[Block]:
    first = serving[0].day
    assert first is not None
    hours = list(range(len(first.tokens_per_s)))
    demand = go.Figure()
    demand.add_bar(x=hours, y=first.tokens_per_s.tolist(), marker={"color": COLOURS[5]})
    title = say("Hour of the day")
    yield Chart(
        say("Output tokens a second that users ask for, by the hour."),
        layout(demand, title, say("Output tokens a second")),
    )
    for name, words in (
        ("kw_card", say("Power of the cards over the day.")),
        ("kw_wall", say("Power at the wall over the day.")),
    ):
        figure = go.Figure()
        for each in serving:
            watts = getattr(each.day, name)
            if not all(map(math.isnan, watts)):
                figure.add_scatter(x=hours, y=watts.tolist(), name=each.title, mode="lines+markers")
        if figure.data:
            figure.update_yaxes(rangemode="tozero")
            yield Chart(words, layout(figure, title, "kW"))


def _deciding(serving: Sequence[FleetOption], say: Say) -> Iterator[Block]:
    for each in serving:
        rows = [
            [
                f"{item.owner}.{item.path}",
                say(item.meaning),
                "-" if item.quantity is None else _value(item.quantity, say),
                say("derived" if item.quantity is None else item.quantity.kind),
                _ends(item.low, item.high, say),
                f"{100.0 * item.share:.1f} %",
            ]
            for item in each.deciding
        ]
        headings = [say(word) for word in ("Number", "What it is", "Value", "Kind", "Servers at its ends", "Share")]
        yield Table(
            say("{title}: what moves the number of servers.", title=each.title), headings, rows, frozenset({2, 4, 5})
        )
        known = [item for item in each.deciding if math.isfinite(item.low) and math.isfinite(item.high)]
        if known:
            low, high = ([getattr(item, side) for item in known] for side in ("low", "high"))
            title, middle = say("Servers, spares included"), each.value("servers")
            ends = say("at its low end"), say("at its high end")
            caption = say("{title}: servers with one number at an end of its range.", title=each.title)
            yield Chart(caption, tornado([item.path for item in known], low, high, middle, title, ends))


def _value(quantity: Quantity, say: Say) -> str:
    """A number in the unit in which people read it."""
    shown = readable(quantity.value, quantity.unit, quantity.text)
    number, _, unit = shown.partition(" ")
    return f"{number} {say(unit)}" if unit else shown


def _ends(low: float, high: float, say: Say) -> str:
    told = (say("no end") if math.isinf(end) else f"{end:,.0f}" for end in (low, high))
    return say("{low} to {high}", **dict(zip(("low", "high"), told, strict=True)))


def _method(serving: Sequence[FleetOption], say: Say) -> Iterator[Block]:
    yield Text(
        say(
            "One instance is simulated under its part of the requests of a cell at rising rates, until a latency "
            "passes its limit; then several behind the cell's router, which spreads requests more evenly than chance. "
            "Instances are the rate at the peak over that of one, at the planned load; spare servers come beside them."
        )
    )
    yield Text(
        say(
            "Watts of the cards are simulated at several loads. A server adds what its description says of the host, "
            "the wall the losses of the supplies. Intervals are quantiles of joint draws from the ranges of all "
            "numbers and from the errors that calibration left."
        )
    )
    for each in serving:
        headings = [say(word) for word in ("Plan", "Cards", "Requests a second of an instance", "Status")]
        rows = [
            [tried.plan, f"{tried.cards:,}", f"{tried.rate_per_s:,.3g}", _status(tried, say)] for tried in each.tried
        ]
        yield Table(say("{title}: plans that were tried.", title=each.title), headings, rows, frozenset({1, 2}))


def _status(tried: Tried, say: Say) -> str:
    return say("kept") if tried.reason is None else tried.reason.in_words_of(say)
