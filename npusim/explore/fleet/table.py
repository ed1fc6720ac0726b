"""Fleets as a table: a row an architecture, with the ends of each interval, and a row an hour of the day."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from npusim.explore.fleet.option import FleetOption
from npusim.kperf.table import Column
from npusim.words import Say

SHOWN = (
    Column("instances", "Instances at the peak", "", "#,##0"),
    Column("servers", "Servers, spares included", "", "#,##0"),
    Column("cards", "Cards", "", "#,##0"),
    Column("racks", "Racks", "", "#,##0", width=9),
    Column("kw_card", "Power of the cards at the peak", "kW", "#,##0"),
    Column("kw_server", "Power of the servers at the peak", "kW", "#,##0"),
    Column("kw_wall", "Power at the wall at the peak", "kW", "#,##0"),
    Column("tokens_per_s", "Output tokens a second at the peak", "tokens/s", "#,##0"),
    Column("requests_per_s", "Requests a second at the peak", "1/s", "#,##0.0"),
    Column("requests_per_s_per_instance", "Requests a second of an instance", "1/s", "0.000"),
    Column("tokens_per_s_per_instance", "Output tokens a second of an instance", "tokens/s", "#,##0"),
    Column("kwh_per_day_card", "Energy of the cards a day", "kWh", "#,##0"),
    Column("kwh_per_day_wall", "Energy at the wall a day", "kWh", "#,##0"),
    Column("kwh_per_million_tokens", "Energy at the wall of a million output tokens", "kWh", "0.000"),
)
"""Figures of `sizing.FIGURES` in the order in which they are told."""
SIDES = ("low", "high")


def _columns() -> Iterable[Column]:
    yield Column("title", "Chip", width=30)
    yield Column("plan", "Plan of an instance", width=12)
    yield Column("instance_cards", "Cards of an instance", "", "0", width=9)
    yield Column("per_server", "Instances of a server", "", "0", width=9)
    for column in SHOWN:
        yield column
        for side in SIDES:
            yield Column(f"{column.name}_{side}", f"{column.heading}, {side}", column.unit, column.number, detail=True)
    yield Column("spare_servers", "Spare servers among them", "", "#,##0")
    yield Column("status", "Status", width=60)


COLUMNS = tuple(_columns())
DAY = (
    Column("title", "Chip", width=30),
    Column("hour", "Hour of the day", "", "0", width=8),
    Column("requests_per_s", "Requests a second", "1/s", "#,##0.0"),
    Column("tokens_per_s", "Output tokens a second", "tokens/s", "#,##0"),
    Column("kw_card", "Power of the cards", "kW", "#,##0"),
    Column("kw_wall", "Power at the wall", "kW", "#,##0"),
)
DECIDING = (
    Column("title", "Chip", width=30),
    Column("owner", "Description", width=22),
    Column("path", "Parameter", width=52),
    Column("meaning", "What it is", width=60),
    Column("text", "As written", width=14),
    Column("kind", "Kind", width=12),
    Column("low", "Servers at its low end", "", "#,##0"),
    Column("high", "Servers at its high end", "", "#,##0"),
    Column("share", "Share of the variance", "", "0.0%"),
    Column("source", "Source", width=90),
)


def fleet_table(options: Sequence[FleetOption], say: Say) -> pd.DataFrame:
    """A row an architecture with the columns of COLUMNS; NaN where something is not told or has no end."""
    return pd.DataFrame([_row(each, say) for each in options]).reindex(
        columns=["arch", *(item.name for item in COLUMNS)]
    )


def _row(option: FleetOption, say: Say) -> dict[str, object]:
    status = say("predicted") if option.reason is None else option.reason.in_words_of(say)
    row: dict[str, object] = {"arch": option.arch, "title": option.title, "status": status}
    if option.draws is None:
        return row
    row |= {"plan": option.instance["plan"], "instance_cards": option.instance["cards"]}
    row |= {"per_server": option.instance["per_server"], "spare_servers": option.spare_servers}
    for column in SHOWN:
        ends = zip(SIDES, option.interval(column.name), strict=True)
        row |= {column.name: _finite(option.value(column.name))}
        row |= {f"{column.name}_{side}": _finite(end) for side, end in ends}
    return row


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def day_table(options: Sequence[FleetOption]) -> pd.DataFrame:
    """A row for each architecture and hour."""
    parts = [
        pd.DataFrame(vars(each.day)).assign(title=each.title, hour=np.arange(len(each.day.kw_card)))
        for each in options
        if each.day is not None
    ]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return whole.reindex(columns=[item.name for item in DAY])


def deciding_table(options: Sequence[FleetOption]) -> pd.DataFrame:
    """A row for each architecture and deciding number."""
    rows = []
    for option in options:
        for each in option.deciding:
            told = {"title": option.title, **vars(each), "low": _finite(each.low), "high": _finite(each.high)}
            quantity = told.pop("quantity")
            known = {} if quantity is None else {name: getattr(quantity, name) for name in ("text", "kind", "source")}
            rows.append(told | (known or {"kind": "derived", "source": ERRORS_SOURCE}))
    return pd.DataFrame(rows).reindex(columns=[item.name for item in DECIDING])


ERRORS_SOURCE = "cross-validated errors of the calibrations"
