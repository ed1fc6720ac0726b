"""The sheets of a K-Perf workbook that say what it is based on: every number with its provenance, and the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from npusim.kperf.sheets import FOOTER, LINE_HEIGHT, Styles, landscape, text_lines, write_frame
from npusim.kperf.table import Column, KPerfContext
from npusim.units import unit_shown

_KIND_COLOURS = {
    "assumed": "#F8CBAD",
    "calibrated": "#FFE699",
    "derived": "#DDEBF7",
    "datasheet": "#E2EFDA",
    "measured": "#C6E0B4",
}
PROVENANCE_COLUMNS = (
    Column("owner", "Description", width=20),
    Column("path", "Parameter", width=44),
    Column("value", "Value", number="SI", width=12),
    Column("low", "Low", number="SI", width=12),
    Column("high", "High", number="SI", width=12),
    Column("unit", "Unit", width=9),
    Column("kind", "Kind", width=10),
    Column("spread", "Range / value", number="0%", width=10),
    Column("source", "Source", width=70),
)
_NUMBERS = ("value", "low", "high")


def in_units_read(provenances: pd.DataFrame) -> pd.DataFrame:
    """Provenances with their numbers, which are in SI units, in the units in which people read them."""
    written = zip(provenances["value"], provenances["unit"], provenances["text"], strict=True)
    told = [unit_shown(float(value), str(unit), str(text)) for value, unit, text in written]
    factors = np.array([factor for _, factor in told])
    numbers = {name: provenances[name].astype(float) / factors for name in _NUMBERS}
    return provenances.assign(**numbers, unit=[name for name, _ in told])


def write_assumptions(sheet: Any, styles: Styles, provenances: pd.DataFrame, context: KPerfContext) -> None:
    landscape(sheet, context.say(FOOTER))
    order = {kind: index for index, kind in enumerate(_KIND_COLOURS)}
    frame = in_units_read(provenances).sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")
    frame = frame.assign(spread=(frame["high"] - frame["low"]) / frame["value"].where(frame["value"] > 0))
    say, counts = context.say, {kind: int((frame["kind"] == kind).sum()) for kind in order}
    sheet.write_string(0, 0, say("Every number that the prediction rests on"), styles.title)
    about = say(
        "{assumed} of {all} are assumed: they come first, with their range. The others: {calibrated} calibrated, "
        "{derived} derived, {datasheet} datasheet, {measured} measured.",
        all=len(frame),
        **counts,
    )
    sheet.write_string(1, 0, f"{context.projection_text}{about}", styles(bold=True))
    sheet.set_row(3, 2 * LINE_HEIGHT)
    spoken = frame.assign(unit=frame["unit"].map(say))
    last = write_frame(sheet, 3, PROVENANCE_COLUMNS, spoken, styles) - 1
    for at, item in enumerate(PROVENANCE_COLUMNS):
        sheet.set_column(at, at, item.width)
    _write_kinds_and_sources(sheet, styles, frame)
    sheet.autofilter(3, 0, last, len(PROVENANCE_COLUMNS) - 1)
    sheet.freeze_panes(4, 2)
    sheet.repeat_rows(3)


def _write_kinds_and_sources(sheet: Any, styles: Styles, frame: pd.DataFrame) -> None:
    """The kind of each number in its colour, and its source in as many lines as it takes."""
    at = {item.name: (place, item.width) for place, item in enumerate(PROVENANCE_COLUMNS)}
    for line, (kind, path, source) in enumerate(
        zip(frame["kind"], frame["path"], frame["source"], strict=True), start=4
    ):
        sheet.write_string(line, at["kind"][0], styles.say(kind), styles(bg_color=_KIND_COLOURS[kind], indent=1))
        sheet.write_string(line, at["path"][0], path, styles.wrapped)
        sheet.write_string(line, at["source"][0], source, styles.wrapped)
        height = max(text_lines(path, at["path"][1]), text_lines(source, at["source"][1]))
        sheet.set_row(line, LINE_HEIGHT * height)


def write_manifest(sheet: Any, styles: Styles, manifest: dict[str, Any], context: KPerfContext) -> None:
    landscape(sheet, context.say(FOOTER))
    columns = (Column("key", "Key", width=60), Column("value", "Value", width=120))
    frame = pd.DataFrame(list(flat_rows(manifest)), columns=["key", "value"])
    sheet.write_string(0, 0, context.say("What made this prediction: enough to repeat it"), styles.title)
    sheet.write_string(1, 0, context.projection_text, styles(bold=True))
    write_frame(sheet, 2, columns, frame, styles)
    for at, item in enumerate(columns):
        sheet.set_column(at, at, item.width)
    sheet.freeze_panes(3, 1)


def flat_rows(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and values of a manifest, as texts."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat_rows(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from flat_rows(inner, f"{key}[{index}]")
    else:
        yield key, "" if value is None else str(value)
