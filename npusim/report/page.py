"""A report page: sections of text, tables and interactive charts, written as one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from npusim.publish import publish_file
from npusim.words import Say


@dataclass(frozen=True)
class Text:
    """A paragraph; kind: "note" and "warning" are set apart."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; figures (columns of `right`) are right-aligned. caption: what the rows are."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Chart:
    """An interactive chart. caption: what it shows, also for those who cannot see it; toolbar: buttons over it."""

    caption: str
    figure: go.Figure
    toolbar: bool = True


Block = Text | Table | Chart


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; sheet: it begins a new sheet of paper in print."""

    title: str
    blocks: Sequence[Block]
    sheet: bool = False


_WORDS = {"contents": "Contents", "manifest": "Manifest", "details": "Details"}
_WIDE = 9
"""Columns beyond which a table is printed smaller."""
_PAPER_PX = 660
"""Width of a chart on paper: what an A4 page has between its margins, in CSS pixels."""


def words_in(say: Say) -> dict[str, str]:
    """What a page itself says, in the language that `say` speaks."""
    return {name: say(word) for name, word in _WORDS.items()}


@dataclass(frozen=True)
class Page:
    """A report. summary: lines under the title; details: further ones, folded away on a screen; manifest: printed at
    the end; words: what the page itself says in its language."""

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
    manifest: Mapping[str, Any]
    language: str = "en"
    words: Mapping[str, str] = field(default_factory=lambda: dict(_WORDS))
    details: Sequence[str] = ()


def write_page(page: Page, path: Path) -> None:
    """Write `page`; the file appears whole or not at all. Raises UserError where it cannot be written."""
    publish_file(path, render(page))


def render(page: Page) -> str:
    """The page as HTML. Charts are numbered, so that the same page gives the same bytes."""
    numbers = {id(block): position for position, block in enumerate(_charts(page))}
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            page=page,
            plotly=Markup(get_plotlyjs()) if numbers else None,
            kind=lambda block: type(block).__name__.lower(),
            number=lambda block: numbers[id(block)],
            drawn=_drawn,
            wide=_WIDE,
            paper_px=_PAPER_PX,
            manifest=json.dumps(page.manifest, indent=2, ensure_ascii=False),
        )
    )


def _charts(page: Page) -> list[Chart]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Chart)]


def _drawn(chart: Chart) -> Markup:
    """The chart's data and layout as JSON that is safe inside a script element."""
    return Markup(chart.figure.to_json().replace("<", "\\u003c"))


@cache
def templates() -> Environment:
    """The templates of this room; what they are given is escaped."""
    return Environment(
        loader=PackageLoader("npusim.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def table_of(caption: str, frame: pd.DataFrame, digits: int = 4) -> Table:
    """A table of a DataFrame: floats with `digits` significant digits, "-" where there is none."""
    rows = [[_cell(value, digits) for value in row] for row in frame.itertuples(index=False)]
    right = frozenset(position for position, dtype in enumerate(frame.dtypes) if pd.api.types.is_numeric_dtype(dtype))
    return Table(caption, [str(name) for name in frame.columns], rows, right)


def _cell(value: Any, digits: int) -> str:
    if value is None or value is pd.NA or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:,.{digits}g}" if abs(value) < 10.0**digits else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
