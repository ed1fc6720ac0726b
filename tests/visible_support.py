"""The words that a reader sees: of pages, of workbooks, of drawn charts and of what commands print."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from npusim.cli import output
from npusim.cli.fitted_table import FittedTable

_CHART = re.compile(r"const chart = (\{.*?\});\nPlotly", re.DOTALL)
_SHOWN = ("text", "name", "title")


def of_page(path: Path, quoted: set[str]) -> Iterator[str]:
    """Texts of an HTML page: charts' titles, names and labels, and what stands on it but for its manifest and columns
    that quote others. quoted: headings of these."""
    page = path.read_text(encoding="utf-8")
    for chart in _CHART.findall(page):
        yield from _of_chart(json.loads(chart))
    body = re.sub(r"<(script|style|pre)\b.*?</\1>", "", page[page.index("<body") :], flags=re.DOTALL)
    for table in re.findall(r"<table.*?</table>", body, re.DOTALL):
        heads = _cells(table, "th")
        skipped = {at for at, head in enumerate(heads) if head in quoted}
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL):
            yield from (cell for at, cell in enumerate(_cells(row, "td")) if at not in skipped)
        yield from heads
    rest = re.sub(r"<table.*?</table>", "", body, flags=re.DOTALL)
    yield from (html.unescape(text) for text in re.split(r"<[^>]+>", rest))


def _cells(row: str, kind: str) -> list[str]:
    return [html.unescape(cell) for cell in re.findall(rf"<{kind}(?: [^>]*)?>(.*?)</{kind}>", row, re.DOTALL)]


def _of_chart(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _SHOWN and isinstance(value, str):
                yield re.sub(r"<[^>]+>", " ", value)
            elif key != "template":
                yield from _of_chart(value)
    elif isinstance(node, list):
        for value in node:
            yield from _of_chart(value)


def of_workbook(path: Path, quoted: set[str], manifest: str) -> Iterator[str]:
    """Texts of a workbook but for the sheet `manifest` and cells under headings of `quoted`; names of sheets too."""
    book = openpyxl.load_workbook(path)
    for sheet in book:
        yield sheet.title
        below: set[int] = set()
        for row in sheet.iter_rows() if sheet.title != manifest else ():
            heads = {cell.column for cell in row if cell.value in quoted}
            yield from (
                str(cell.value) for cell in row if isinstance(cell.value, str) and cell.column not in below | heads
            )
            below |= heads


def of_markdown(path: Path) -> Iterator[str]:
    """Texts of a page in Markdown: cells of tables, lines of the rest, but for code and targets of links."""
    for line in path.read_text(encoding="utf-8").splitlines():
        plain = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", line).replace("*", "")
        yield from (cell.strip("# -!") for cell in plain.split("|"))


def of_certificate(path: Path, quoted: set[str]) -> Iterator[str]:
    """Texts of a certificate, whose cells hold lines and marks of their own."""
    for text in of_page(path, quoted):
        yield from re.split(r"<[^>]+>", text)


class Drawn:
    """Figures that matplotlib drew while a test ran, each with the name of its file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.figures: dict[str, Figure] = {}
        kept, draw = self.figures, FigureCanvasAgg.print_png

        def print_png(canvas: FigureCanvasAgg, path: Any, **how: Any) -> None:
            kept[Path(path).name if isinstance(path, str | Path) else f"{len(kept)}.png"] = canvas.figure
            draw(canvas, path, **how)

        monkeypatch.setattr(FigureCanvasAgg, "print_png", print_png)

    def texts(self) -> Iterator[str]:
        for figure in self.figures.values():
            yield from (text.get_text() for text in _texts(figure))

    def cut(self) -> Iterator[str]:
        """Texts that leave their figure."""
        for name, figure in self.figures.items():
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            page = figure.bbox
            for text in _texts(figure):
                box = text.get_window_extent(canvas.get_renderer())
                if box.x0 < page.x0 or box.y0 < page.y0 or box.x1 > page.x1 or box.y1 > page.y1:
                    yield f"{name}: {text.get_text()}"


def _texts(figure: Figure) -> list[Text]:
    """Texts that are drawn: labels of ticks beyond the ends of an axis are not."""
    hidden = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        outside = (tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high)
        hidden |= {label for tick in outside for label in (tick.label1, tick.label2)}
    found = figure.findobj(Text)
    return [text for text in found if text not in hidden and text.get_visible() and text.get_text().strip()]


class Printed:
    """What commands print in another language while a test ran, but for columns that quote others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, quoted: set[str]) -> None:
        self.texts: list[str] = []
        told = output._in_words_of

        def listen(shown: Any, tell: Callable[[str], str]) -> Any:
            said = told(shown, tell)
            if isinstance(said, FittedTable):
                kept = [at for at, heading in enumerate(shown.headings) if heading not in quoted]
                self.texts += [said.title, *said.headings, *(row[at] for row in said.rows for at in kept)]
            else:
                self.texts.append(str(said))
            return said

        monkeypatch.setattr(output, "_in_words_of", listen)
