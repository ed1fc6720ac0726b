"""The sheets of a K-Perf workbook that say what it is based on: every number with its provenance, and the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from npusim.kperf.sheets import LINE_HEIGHT, Styles, landscape, write_frame
from npusim.kperf.table import Column, KPerfContext

_KIND_COLOURS = {
    "assumed": "#F8CBAD",
    "calibrated": "#FFE699",
    "derived": "#DDEBF7",
    "datasheet": "#E2EFDA",
    "measured": "#C6E0B4",
}
PROVENANCE_COLUMNS = (
    Column("owner", "Description", width=22),
    Column("path", "Parameter", width=52),
    Column("text", "As written", width=18),
    Column("value", "Value (SI)", number="SI", width=14),
    Column("unit", "SI unit", width=10),
    Column("kind", "Kind", width=12),
    Column("low", "Low (SI)", number="SI", width=14),
    Column("high", "High (SI)", number="SI", width=14),
    Column("spread", "Range / value", number="0%", width=10),
    Column("source", "Source", width=110),
)


def write_assumptions(sheet: Any, styles: Styles, provenances: pd.DataFrame, context: KPerfContext) -> None:
    landscape(sheet)
    order = {kind: index for index, kind in enumerate(_KIND_COLOURS)}
    frame = provenances.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")
    low, high, value = (frame[name].astype(float) for name in ("low", "high", "value"))
    frame = frame.assign(spread=(high - low) / value.where(value > 0))
    counts = {kind: int((frame["kind"] == kind).sum()) for kind in order}
    say = context.say
    sheet.write_string(0, 0, say("Every number that the prediction rests on"), styles.title)
    about = say(
        "{assumed} of {all} are assumed: they come first, with their range. The others: {calibrated} calibrated, "
        "{derived} derived, {datasheet} datasheet, {measured} measured.",
        all=len(frame),
        **counts,
    )
    sheet.write_string(1, 0, f"{context.projection_text}{about}", styles(bold=True))
    sheet.set_row(3, 2 * LINE_HEIGHT)
    last = write_frame(sheet, 3, PROVENANCE_COLUMNS, frame, styles) - 1
    for at, item in enumerate(PROVENANCE_COLUMNS):
        sheet.set_column(at, at, item.width)
        if item.name == "kind":
            for line, kind in enumerate(frame["kind"], start=4):
                sheet.write_string(line, at, say(kind), styles(bg_color=_KIND_COLOURS[kind], indent=1))
    sheet.autofilter(3, 0, last, len(PROVENANCE_COLUMNS) - 1)
    sheet.freeze_panes(4, 2)
    sheet.repeat_rows(3)


def write_manifest(sheet: Any, styles: Styles, manifest: dict[str, Any], context: KPerfContext) -> None:
    landscape(sheet)
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
