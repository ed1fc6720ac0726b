"""Rows of a table of serving runs as runs, so that its figures are compared with each other as those of any file.

A table has a column a figure, or one figure a row beside its name (columns metric, value and unit).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.bounds.reading import Reading
from npusim.hardware.drafting import NONE
from npusim.inputs.numbers import plain
from npusim.lab.files.lab_run import CLOSED, RATE, Conduct, LabRun, RunConditions
from npusim.lab.files.naming import told_kv, told_precision
from npusim.metric_names import figure_of, metric
from npusim.metrics import PUBLISHED, TABLE_COLUMN, UNIT_NAMES
from npusim.workload.formats import kv_of_label

TOOL = "measured table"
_NGRAM = "ngram"
_USERS = ("concurrency", "users")
_DEVICES, _CARDS, _PRECISIONS = ("chip", "device"), ("cards", "gpus", "tp"), ("dtype", "precision")
_NOT_FIGURES = ("metric", "value", "unit", "notes", "note", "source_url", "source", "grade", "kind", "power_w")
_LABELS = ("note", "notes", "remark")
_ENERGY = "power_energy_w"
_APART = "apart"
"""Whether a second server of the same cards computed the prompts."""


def is_of_runs(columns: Iterable[str]) -> bool:
    """Whether a table holds serving runs."""
    names = set(columns)
    return bool(names & set(_USERS)) and {"isl", "osl"} <= names


def table_runs(path: Path, frame: pd.DataFrame) -> Iterator[tuple[tuple[int, ...], LabRun]]:
    """Each run with the rows of the table (from 0) that tell it."""
    records = [{str(name): cell for name, cell in cells.items()} for cells in frame.to_dict("records")]
    if {"metric", "value", "unit"} <= set(frame.columns):
        yield from _long(path, records)
        return
    for index, cells in enumerate(records):
        figures = dict(_figures(cells))
        if figures:
            conduct = replace(_conduct(cells), tokens_per_step=_tokens_per_step(cells, figures))
            run = LabRun(f"{path}#{index}", TOOL, _setting(cells), figures, conduct, _aside(cells), _variant(cells))
            yield (index,), run


def _tokens_per_step(cells: Mapping[str, Any], figures: Mapping[str, Reading]) -> float:
    """As the table tells it, else the time of a chunk over that of a token."""
    told, chunk, token = (
        _number(cells, "tokens_per_step"),
        figures.get("itl_ms_mean"),
        figures.get("tpot_ms_mean"),
    )
    if told is None and chunk is not None and token is not None and token.value > 0.0:
        told = chunk.value / token.value
    return max(1.0, told or 1.0)


def _long(path: Path, records: list[dict[str, Any]]) -> Iterator[tuple[tuple[int, ...], LabRun]]:
    """Rows that differ in metric and value alone are one run's."""
    runs: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, cells in enumerate(records):
        named = [name for name in cells if name and name not in _NOT_FIGURES]
        runs[tuple(str(cells[name]).strip() for name in named)].append(index)
    for indices in runs.values():
        figures: dict[str, Reading] = {}
        for index in indices:
            figures |= dict(_told(records[index]))
        watts = [reading for index in indices if (reading := _reading(records[index].get("power_w")))]
        figures |= {"power_w_mean": watts[0]} if watts else {}
        first = records[indices[0]]
        if figures:
            run = LabRun(f"{path}#{indices[0]}", TOOL, _setting(first), figures, _labels(first), {}, _variant(first))
            yield tuple(indices), run


def _variant(cells: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells that are no figures, lengths, users or counts: whatever else sets a run apart."""
    own = {*_USERS, *_COUNTS, *_NOT_FIGURES} - {*_LABELS}
    return tuple(f"{name} {cell}" for name, cell in cells.items() if name and name not in own and not _is_figure(name))


def _is_figure(column: str) -> bool:
    known = metric(column) is not None or figure_of(TABLE_COLUMN, column) is not None
    return known or column == _ENERGY or column.endswith(_COUNTERS)


_COUNTS = ("isl", "osl", "requests", "duration_s", "tokens_per_step", "date", "note_lengths")
"""Columns that differ between the runs of one sweep."""
_COUNTERS = ("_steps", "_mhz")
"""Ends of the names of columns that count steps or tell a clock."""


def _told(cells: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    """The figure of a row that names it."""
    named, value = figure_of(PUBLISHED, str(cells["metric"]).strip()), _reading(cells["value"])
    row = None if named is None else metric(named[0])
    worth = None if row is None else UNIT_NAMES.get(row.unit, {}).get(str(cells["unit"]).strip())
    if named is not None and value is not None and worth is not None:
        yield named[0], value.times(worth)


def _figures(cells: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    for column, cell in cells.items():
        named = figure_of(TABLE_COLUMN, column)
        row, value = metric(column if named is None else named[0]), _reading(cell)
        if row is not None and value is not None and row.name != "requests" and row.unit:
            yield row.name if named is None else named[0], value


def _aside(cells: Mapping[str, Any]) -> dict[str, Reading]:
    """The energy of a run, from its mean watts by a counter."""
    watts, seconds = _reading(cells.get(_ENERGY)), _number(cells, "duration_s")
    return {} if watts is None or seconds is None else {"energy_j": watts.times(seconds)}


def _setting(cells: Mapping[str, Any]) -> RunConditions:
    cards = next((found for name in _CARDS if (found := _number(cells, name))), None)
    if cards is not None and _number(cells, _APART):
        cards *= 2.0
    return RunConditions(
        model=_text(cells, "model"),
        device=next((named for name in _DEVICES if (named := _text(cells, name))), None),
        cards=None if cards is None or cards != round(cards) else round(cards),
        precision=_format(told_precision, cells),
        kv_precision=told_kv(_text(cells, "kv_dtype")) or _format(kv_of_label, cells),
        speculation=_speculation(cells),
        runtime=_text(cells, "engine") or _text(cells, "sdk"),
        isl=_number(cells, "isl"),
        osl=_number(cells, "osl"),
        users=next((found for name in _USERS if (found := _number(cells, name))), None),
    )


def _speculation(cells: Mapping[str, Any]) -> str | None:
    """How tokens were drafted, by the columns draft, drafted and acceptance (chance that the first one, two ... are all
    accepted); None where the table does not tell."""
    drafted, together = _number(cells, "drafted"), (_text(cells, "acceptance") or "").split()
    if drafted is None:
        return None
    chances = [plain(text) for text in together]
    if drafted == 0.0:
        return NONE
    if len(chances) != drafted or any(chance is None or not 0.0 < chance <= 1.0 for chance in chances):
        return None
    told = [1.0, *(chance for chance in chances if chance is not None)]
    each = ",".join(f"{min(1.0, after / before):.6g}" for before, after in pairwise(told))
    who = _text(cells, "draft") or ""
    return f"{who if who == _NGRAM else f'draft:{who}'}:k={len(chances)}:a={each}"


def _format(read: Callable[[str], str | None], cells: Mapping[str, Any]) -> str | None:
    """What the columns of number formats tell."""
    return next((told for name in _PRECISIONS if (own := _text(cells, name)) and (told := read(own))), None)


def _conduct(cells: Mapping[str, Any]) -> Conduct:
    requests, seconds, osl = (_number(cells, name) for name in ("requests", "duration_s", "osl"))
    whole = requests is not None and osl is not None and osl == round(osl)
    return Conduct(
        arrival=RATE if _number(cells, "rate_per_s") else _text(cells, "arrival") or CLOSED,
        requests=None if requests is None else round(requests),
        completed=None if requests is None else round(requests),
        duration_s=seconds,
        output_tokens=round(requests * osl) if whole and requests is not None and osl is not None else None,
        lengths_fixed=True,
        power_scope="cards",
        date=_text(cells, "date"),
        labels=_labels(cells).labels,
    )


def _labels(cells: Mapping[str, Any]) -> Conduct:
    """What a row of published figures tells of how it was measured: its day, and words about it."""
    words = tuple(filter(None, (_text(cells, name) for name in _LABELS)))
    return Conduct(power_scope="cards", date=_text(cells, "date"), labels=words)


def _text(cells: Mapping[str, Any], name: str) -> str | None:
    return str(cells.get(name) or "").strip() or None


def _number(cells: Mapping[str, Any], name: str) -> float | None:
    return plain(str(cells.get(name) or ""))


def _reading(cell: Any) -> Reading | None:
    value = plain(str(cell if cell is not None else ""))
    return None if value is None or value < 0.0 else Reading.printed(str(cell).strip())
