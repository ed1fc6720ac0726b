"""Architectures side by side: what each cell of the grid comes to for a card, a server, a watt and a rack.

A server is filled with instances alike, whose rates add up: at n instances n times the users are served. Its watts are
those of the cards and what `housing` of the description says of the host; the wall's are those over the efficiency
of the supplies; a rack holds as many servers as its power feeds at these watts. What a description does not tell is
blank.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from npusim.kperf.table import Column, predicted

if TYPE_CHECKING:
    from npusim.hardware.system import System
    from npusim.kperf.runner import GridResult
    from npusim.ledger import Quantity

RATE, JOULE = "output_tokens_per_s", "tokens_per_joule"
SIDES = ("", "_low", "_high")
_CELL = ["model", "isl", "osl", "users"]


@dataclass(frozen=True)
class Scale:
    """One way to compare: the column, and the heading of its chart."""

    name: str
    heading: str
    unit: str
    number: str = "#,##0"


SCALES = (
    Scale("per_card", "Output tokens a second of a card", "tokens/s"),
    Scale("per_server", "Output tokens a second of a server", "tokens/s"),
    Scale("per_card_w", "Output tokens a joule of the cards", "tokens/J", "0.00"),
    Scale("per_server_w", "Output tokens a joule of the server", "tokens/J", "0.00"),
    Scale("per_wall_w", "Output tokens a joule at the wall", "tokens/J", "0.00"),
    Scale("per_rack", "Output tokens a second of a rack", "tokens/s"),
)


def _columns() -> Iterable[Column]:
    yield Column("model_title", "Model name", width=24)
    yield Column("isl", "Input length", "tokens", "#,##0")
    yield Column("osl", "Output length", "tokens", "#,##0")
    yield Column("users", "Users", "", "#,##0", width=8)
    yield Column("chip_title", "Chip", width=26)
    yield Column("kind", "Silicon or projection", width=12)
    yield Column("precision", "Precision", width=10)
    yield Column("cards", "Cards", "", "0", width=7)
    yield Column("instances", "Instances of a server", "", "0", width=10)
    for scale in SCALES:
        yield Column(scale.name, scale.heading, scale.unit, scale.number, width=12)
        for side in SIDES[1:]:
            yield Column(f"{scale.name}{side}", f"{scale.heading}, {side[1:]}", scale.unit, scale.number, detail=True)
    yield Column("server_w", "Server", "W", "#,##0", width=9)
    yield Column("wall_w", "Wall", "W", "#,##0", width=9)
    yield Column("rack_w", "Rack", "W", "#,##0", width=9)
    yield Column("servers", "Servers of a rack", "", "0", width=9)
    yield Column("ttft_ms_mean", "TTFT mean", "ms", "#,##0.0")
    yield Column("tpot_ms_mean", "TPOT mean", "ms", "#,##0.00")
    yield Column("status", "Status", width=60)


COLUMNS = tuple(_columns())
MIDDLE = tuple(item for item in COLUMNS if not item.detail and item.name != "status")
"""Columns of a page: without the ends of intervals, and the status."""


def compared(results: Sequence[GridResult]) -> pd.DataFrame:
    """A row for each cell of each architecture, those of one cell beneath each other, with the columns of COLUMNS."""
    parts = [_of_chip(result, order) for order, result in enumerate(results)]
    whole = pd.concat(parts, ignore_index=True)
    cells = whole[_CELL].drop_duplicates(ignore_index=True).reset_index(names="_cell")
    ordered = whole.merge(cells, on=_CELL).sort_values(["_cell", "_order"], kind="stable", ignore_index=True)
    return ordered.reindex(columns=["chip", "model", *(item.name for item in COLUMNS)])


def _of_chip(result: GridResult, order: int) -> pd.DataFrame:
    system = result.deployments[0].system
    cells = result.cells.copy()
    told = {"chip_title": result.context.chip_title, "kind": "silicon" if system.silicon else "projection"}
    scaled = pd.DataFrame([_scaled(row, system) for row in cells.to_dict("records")], index=cells.index)
    return cells.assign(**told, _order=order).join(scaled)


def _scaled(row: Mapping[Hashable, Any], system: System) -> dict[str, float]:
    """The figures of SCALES of a cell, with their low and high ends, and what they rest on."""
    cards = int(row["cards"])
    instances = int(system.server.max_cards.value) // cards
    cards_w = float(row.get("power_w_mean", math.nan)) * instances
    middle = _watts(system, cards_w, "")
    found: dict[str, float] = {"instances": instances, "server_w": middle.server, "wall_w": middle.wall}
    found |= {"rack_w": middle.rack, "servers": middle.servers}
    for side in SIDES:
        rate, joule = (float(row.get(f"{name}{side}", math.nan)) for name in (RATE, JOULE))
        watts = _watts(system, cards_w, side)
        found |= {
            f"per_card{side}": rate / cards,
            f"per_server{side}": rate * instances if instances else math.nan,
            f"per_card_w{side}": joule,
            f"per_server_w{side}": joule * cards_w / watts.server,
            f"per_wall_w{side}": joule * cards_w / watts.wall,
            f"per_rack{side}": rate * instances * middle.servers_of(system, side),
        }
    return found


@dataclass(frozen=True)
class _Watts:
    """Watts of a server, at the wall and of a rack; not a number where it is not told."""

    server: float = math.nan
    wall: float = math.nan
    rack: float = math.nan

    @property
    def servers(self) -> float:
        """How many servers a rack feeds."""
        return _whole(self.rack / self.wall)

    def servers_of(self, system: System, side: str) -> float:
        """The same at that end of the rack's range."""
        told = None if system.housing is None else system.housing.rack
        return math.nan if told is None else _whole(_ENDS[side](told) / self.wall)


def _whole(number: float) -> float:
    return math.nan if math.isnan(number) else float(math.floor(number))


def _watts(system: System, cards_w: float, side: str) -> _Watts:
    """Of so many watts of cards; side: the end of the host's range that gives the low, or the high, end of a figure."""
    told = system.housing
    if told is None or not cards_w > 0.0:
        return _Watts()
    ends = {"": (_value, _value), "_low": (_high, _low), "_high": (_low, _high)}[side]
    server = cards_w + ends[0](told.host)
    rack = math.nan if told.rack is None else told.rack.value
    return _Watts(server, server / ends[1](told.supply_efficiency), rack)


def _value(number: Quantity) -> float:
    return number.value


def _low(number: Quantity) -> float:
    return number.value if number.low is None else number.low


def _high(number: Quantity) -> float:
    return number.value if number.high is None else number.high


_ENDS = {"": _value, "_low": _low, "_high": _high}


def chosen_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each model, the rows of the cell that most chips run, among equals the one with the most tokens a second: a
    chart of one cell compares like with like."""
    kept = []
    for _, own in rows.groupby("model", sort=False):
        done = predicted(own)
        if done.empty:
            continue
        by_cell = done.groupby(["isl", "osl", "users"], sort=False)
        ranks = by_cell["per_card"].agg(["size", "sum"]).sort_values(["size", "sum"], kind="stable")
        isl, osl, users = ranks.index[-1]
        kept.append(own[(own["isl"] == isl) & (own["osl"] == osl) & (own["users"] == users)])
    return pd.concat(kept, ignore_index=True) if kept else rows.iloc[:0]


def not_run(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each chip, model and reason for which cells have no prediction, with how many they are."""
    failed = rows[rows["status"] != "predicted"]
    grouped = failed.groupby(["chip_title", "model_title", "status"], sort=False).size()
    return grouped.rename("cells").reset_index()
