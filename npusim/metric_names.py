"""What figures are called: by npusim, in former versions, and by the tools of labs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache

from npusim.metric_row import Metric, Shown, lowered
from npusim.metrics import DEVICE, ESTIMATES, FORMER, METRICS, PASSES, SEARCHES

_FORMER = {alias.text: row.name for row in METRICS for alias in row.aliases if alias.tool == FORMER}
_BY_NAME = {row.name: row for row in (*PASSES, *METRICS) if row.name not in _FORMER}
_FIRST: dict[str, Metric] = {}
for _row in _BY_NAME.values():
    _FIRST.setdefault(_row.quantity, _row)
_PERCENTILE = re.compile(r"[pP]?(\d+(?:\.\d+)?)(?:_percentile)?")
_KOREAN_ENDS = (("low", "하한"), ("high", "상한"))
_WORDS = {"mean": "mean", "avg": "mean", "median": "p50"}


def resolve(name: str) -> str:
    """The one spelling of a figure: of a former one, of a quantity its mean; a name that is no figure's stays."""
    if name in _BY_NAME:
        return name
    return _FORMER.get(name) or (_FIRST[name].name if name in _FIRST else name)


def metric(name: str) -> Metric | None:
    """The row of a figure by any spelling; a percentile without a row has its quantity's. None for no figure."""
    found = _BY_NAME.get(resolve(name))
    if found is None:
        quantity, _, word = name.rpartition("_")
        row, part = _FIRST.get(quantity), statistic(word)
        if row is not None and row.statistic and part is not None:
            return replace(row, name=name, statistic=part, shown=Shown.LAB, interval=False, drawn=None)
    return found


def siblings(name: str) -> tuple[str, ...]:
    """Other statistics of the same quantity, means first."""
    row = metric(name)
    if row is None or not row.statistic:
        return ()
    return tuple(each.name for each in METRICS if each.quantity == row.quantity and each.name != name)


def statistic(word: str) -> str | None:
    """npusim's name of a statistic as any tool spells it: mean for avg, p50 for Median, p99.9 for 99.90_percentile."""
    found = _PERCENTILE.fullmatch(word)
    return f"p{float(found[1]):g}" if found else _WORDS.get(word.lower())


@cache
def named_by(tool: str) -> Mapping[str, tuple[Metric, float]]:
    """What a tool calls figures: the row (a quantity's first), and what one of the tool's units is worth in its own."""
    return {alias.text: (row, alias.factor) for row in _FIRST.values() for alias in row.aliases if alias.tool == tool}


@lru_cache(maxsize=4096)
def figure_of(tool: str, text: str) -> tuple[str, float] | None:
    """Name of the figure that a tool calls so, and the worth of its unit; None for what is no figure.

    The statistic stands where the alias has {}; without it and what parts it from the rest, a mean is meant.
    """
    for known, (row, factor) in named_by(tool).items():
        before, gap, after = known.partition("{}")
        if text == (known.removesuffix("_{}") if known.endswith("_{}") else known):
            return row.name, factor
        part = statistic(text.removeprefix(before).removesuffix(after)) if gap else None
        if part is not None and text.startswith(before) and text.endswith(after):
            return f"{row.quantity}_{part}", factor
    return None


def figures_in(tool: str, keys: Iterable[str]) -> list[tuple[str, str, float]]:
    """Key, name and worth of the unit of each figure among a tool's keys, in the order of the table: single figures,
    then statistics."""
    named = ((key, figure_of(tool, key)) for key in keys)
    known = [(key, *found) for key, found in named if found is not None]
    order = {row.quantity: position for position, row in enumerate(METRICS)}

    def position(found: tuple[str, str, float]) -> tuple[bool, int]:
        row = metric(found[1])
        assert row is not None
        return bool(row.statistic), order[row.quantity]

    return sorted(known, key=position)


def told_as(tool: str, name: str) -> str:
    """What a tool calls a figure, the figure's own name where it has none of its own."""
    aliases = _BY_NAME[name].aliases if name in _BY_NAME else ()
    return next((alias.text for alias in aliases if alias.tool == tool), name)


def inverses(name: str) -> str:
    """The figure of which one is one over, or the figure itself."""
    row = metric(name)
    return name if row is None else row.inverse_of or row.name


def headings_in(language: str) -> dict[str, str]:
    """Headings of all figures by the English ones and by their names, where the rows have them in that language."""
    if language != "ko":
        return {}
    rows = (*PASSES, *ESTIMATES, *SEARCHES, *DEVICE, *METRICS)
    told = {named: row.korean for row in rows for named in (row.label, lowered(row.label), row.name)}
    best = {best_label(row): f"최고 {row.korean}" for row in METRICS if row.best}
    ends = {f"{label}, {end}": f"{korean}, {said}" for label, korean in best.items() for end, said in _KOREAN_ENDS}
    return told | best | ends


def best_label(row: Metric) -> str:
    """Heading of the best cell of a figure."""
    return f"Best {lowered(row.label)}"
