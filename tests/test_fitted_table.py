"""Tables and texts of commands lose nothing, however narrow the terminal is said to be."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from cli_support import process, tell
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from npusim.cli.fitted_table import FittedTable

WORDS = st.text(alphabet="ab1.9-%가 ", min_size=0, max_size=24)
COLUMNS = 3


@given(
    st.lists(WORDS, min_size=COLUMNS, max_size=COLUMNS),
    st.lists(st.lists(WORDS, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=4),
    st.integers(20, 120),
)
@example(["", "", "11111"], [["", " 1111가", ""]], 20)
def test_every_word_is_shown_whole_where_it_has_room(headings: list[str], rows: list[list[str]], width: int) -> None:
    out = io.StringIO()
    console = Console(width=width, file=out, markup=False, highlight=False, emoji=False)
    table = FittedTable(headings, rows)
    console.print(table)
    shown = out.getvalue()
    if table._widths(width):
        words = shown.split()
        assert all(word in words for row in [headings, *rows] for cell in row for word in cell.split())
    else:
        bare = "".join(shown.split())
        assert all("".join(cell.split()) in bare for row in rows for cell in row)
    assert max(len(line) for line in shown.splitlines()) <= width


@pytest.mark.parametrize("columns", ["0", "1", "20", "40", "80", "-5", "abc", None])
def test_no_value_is_lost_at_any_width(columns: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    items = tell("list", "archs", "--json").json["items"]
    shown = "".join(tell("list", "archs").out.split())
    for item in items:
        assert all(word in shown for word in (item["name"], *item["title"].split()))
    assert "1,071" in shown


def test_figures_of_a_step_are_shown_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "1", "--context", "512", "--explain")
    wide, narrow = [], []
    for width, found in (("200", wide), ("1", narrow)):
        monkeypatch.setenv("COLUMNS", width)
        found += [word for word in tell(*words).out.split() if word[:1].isdigit() and "." in word]
    assert len(wide) > 10 and set(wide) <= set(narrow) | {word.rstrip(",") for word in narrow}


def test_without_a_terminal_and_without_a_width(tmp_path: Path) -> None:
    done = process("list", "runtimes", folder=tmp_path, stdin=None)
    assert done.returncode == 0 and "furiosa-llm-2026.3" in done.stdout
