"""What commands print: one JSON object, or text and tables as wide as the terminal; messages go to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from npusim.api.answer import Answer, plain_json
from npusim.cli.fitted_table import NOTHING, FittedTable
from npusim.cli.options import LANGUAGE
from npusim.safe_text import printable
from npusim.words import ENGLISH, Say, speaker

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_FILES = 160
_LEAST_WIDTH = 20
"""Narrower than that no terminal is, whatever COLUMNS says."""


def say(line: str) -> None:
    """A message on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def print_json(answer: Answer) -> None:
    """One JSON object on standard output; a number that is none (NaN, infinite) becomes null."""
    print(json.dumps(plain_json(answer), indent=2, allow_nan=False))


def stdout_console() -> Console:
    """A console on standard output, in the language of the command that runs: as wide as the terminal, or as a wide
    page where there is no terminal."""
    return _console(_language(), width=_width())


def spoken_console() -> Console:
    """The same for what is said in the reader's language already (`speaking`): names of others stay as they are."""
    return _console(ENGLISH, width=_width())


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES


def stderr_console() -> Console:
    return _console(stderr=True)


def _console(language: str = ENGLISH, **options: Any) -> Console:
    """A console that shows text from files as it is: nothing in it is obeyed, by rich or by the terminal.

    language: what it says everything in, sentences and cells of tables alike.
    """
    from rich.console import Console

    tell = speaker(language)

    class PlainConsole(Console):
        def print(self, *shown: Any, **how: Any) -> None:
            super().print(*(_in_words_of(each, tell) for each in shown), **how)

        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(printable(text), **how)

    console = PlainConsole(markup=False, highlight=False, emoji=False, **options)
    console.width = max(console.width, _LEAST_WIDTH)
    return console


def _in_words_of(shown: Any, tell: Say) -> Any:
    if isinstance(shown, str):
        return tell(shown)
    return shown.in_words_of(tell) if isinstance(shown, FittedTable) else shown


def speaking() -> Say:
    """What says things in the language of the command that runs."""
    return speaker(_language())


def _language() -> str:
    """Of the command that runs; English where none does."""
    context = click.get_current_context(silent=True)
    return ENGLISH if context is None else str(context.meta.get(LANGUAGE, ENGLISH))


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", text_columns: int = 1
) -> FittedTable:
    """A table; the first `text_columns` and what is not a figure are left-aligned, figures right; nothing is cut."""
    return FittedTable(headings, [list(row) for row in rows], title, text_columns)


def figure(value: Any, digits: int = 2) -> str:
    """A number with thousands apart; {value, low, high} with its range; nothing for NaN."""
    if isinstance(value, Mapping):
        low, high = figure(value["low"], digits), figure(value["high"], digits)
        return f"{figure(value['value'], digits)} ({low} to {high})"
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{digits}f}"
