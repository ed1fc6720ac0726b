"""Tables that fit their terminal without losing a value: as columns where every word has room, else as lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npusim.words import Say

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_BETWEEN = 3
"""Characters between two columns, and beside the outer ones together."""
NOTHING = "-"
_QUOTED = ("source", "key", "setting")
"""Headings of columns that quote others in their own words."""


@dataclass(frozen=True)
class FittedTable:
    """rows: the cells of each; the first `text_columns` and what is not a figure are left-aligned, figures right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    text_columns: int = 1

    def in_words_of(self, say: Say) -> FittedTable:
        """The table in the language that `say` speaks: title, headings and cells, but for what is quoted."""
        quoted = [heading in _QUOTED for heading in self.headings]
        rows = [[cell if same else say(cell) for cell, same in zip(row, quoted, strict=True)] for row in self.rows]
        return FittedTable([say(heading) for heading in self.headings], rows, say(self.title), self.text_columns)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        return self._columns(widths) if widths else self._lines()

    def _cells(self) -> list[list[str]]:
        """Heading and cells of each column."""
        return [[heading, *(row[index] for row in self.rows)] for index, heading in enumerate(self.headings)]

    def _widths(self, room: int) -> list[int]:
        """A width for each column, at least its longest word; none where there is no room for these."""
        least = [max(map(_longest_word, cells)) for cells in self._cells()]
        most = [max(map(_longest_line, cells)) for cells in self._cells()]
        spare = room - _BETWEEN * len(least) - sum(least)
        if spare < 0:
            return []
        wanted = [wide - narrow for narrow, wide in zip(least, most, strict=True)]
        share = min(1.0, spare / max(1, sum(wanted)))
        return [narrow + int(share * more) for narrow, more in zip(least, wanted, strict=True)]

    def _columns(self, widths: Sequence[int]) -> RenderResult:
        from rich import box
        from rich.table import Table

        shown = any(self.headings)
        made = Table(
            title=self.title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_header=shown
        )
        for index, (cells, width) in enumerate(zip(self._cells(), widths, strict=True)):
            right = index >= self.text_columns and all(map(_is_figure, cells[1:]))
            made.add_column(cells[0], justify="right" if right else "left", overflow="fold", width=width)
        for row in self.rows:
            made.add_row(*row)
        yield made

    def _lines(self) -> RenderResult:
        """A paragraph a row: its first cell, then a line for each other one."""
        if self.title:
            yield self.title
        for row in self.rows:
            yield ""
            yield row[0]
            for heading, cell in zip(self.headings[1:], row[1:], strict=True):
                yield f"{heading}: {cell}" if heading else cell


def _longest_word(text: str) -> int:
    """Spaces that begin the text stay with its first word, as Rich wraps it."""
    return max((_length(word) for word in re.findall(r"\A\s*\S+|\S+", text)), default=0)


def _longest_line(text: str) -> int:
    return max((_length(line) for line in text.splitlines()), default=0)


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _is_figure(cell: str) -> bool:
    return cell == NOTHING or cell[:1].isdigit() or cell[:2].lstrip("-")[:1].isdigit()
