"""Names and titles from files stay text: in terminals, spreadsheets, sheet names, charts and file names."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from html import unescape
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kperf_output import CONTEXT, GRID, MANIFEST, PROVENANCES, fake_cells

from npusim.cli.output import say, stdout_console, table
from npusim.kperf.publish import publish
from npusim.kperf.table import unique_names
from npusim.safe_text import chart_title, printable, spreadsheet_safe

EVIL = "=cmd|'/c calc'!A1 \x1b[2J\u202e<b onclick=x>$\\frac$ [a]:*?/\\"
XLSXWRITER_FORMULA = re.compile(r"^=?[^!]+!\$?[A-Z]+\$?\d+")


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert not set(shown) & {"\x1b", "\x07", "\r", "\x9b", "\u202e"}
    shown.encode("utf-8")
    assert printable(shown) == shown


@given(st.text())
def test_no_chart_title_is_a_formula(text: str) -> None:
    title = chart_title(text)
    assert not XLSXWRITER_FORMULA.match(title) and not title.startswith("=")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", " =1", "\uff1d1", "\uff20SUM(A1)"])
def test_text_in_a_csv_file_is_no_formula_and_numbers_stay_numbers(text: str) -> None:
    frame = pd.DataFrame({"name": [text, "plain", None], "value": [-1.5, 2.0, 3.0]})
    written = spreadsheet_safe(frame).to_csv(index=False)
    back = pd.read_csv(io.StringIO(written))
    assert back["name"][0].startswith("'") and back["name"][1] == "plain"
    assert back["value"].tolist() == [-1.5, 2.0, 3.0]
    named = spreadsheet_safe(frame.rename(columns={"value": text})).to_csv(index=False)
    assert list(pd.read_csv(io.StringIO(named)))[1].startswith("'")


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_names_of_files_stay_in_their_folder(names: list[str]) -> None:
    made = unique_names(names, r"[^A-Za-z0-9._-]+", 80)
    assert len({name.lower() for name in made}) == len(names)
    for name in made:
        assert Path(name).name == name and name not in (".", "..") and not name.startswith(".")


def test_messages_and_tables_show_escapes_instead_of_sending_them(capfd: pytest.CaptureFixture[str]) -> None:
    say(f"reading {EVIL}")
    stdout_console().print(table(["name", EVIL], [[EVIL, "1"]], EVIL))
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err and "\u202e" not in out + err
    assert "\\x1b[2J" in err


def test_a_workbook_holds_evil_names_as_text(tmp_path: Path) -> None:
    cells = fake_cells(1, grid=GRID[:1]).assign(model="=HYPERLINK(1)", model_title=EVIL)
    publish(cells, PROVENANCES, MANIFEST, replace(CONTEXT, chip_title=EVIL), tmp_path)
    with zipfile.ZipFile(tmp_path / "kperf.xlsx") as book:
        parts = {name: book.read(name).decode() for name in book.namelist() if name.endswith((".xml", ".rels"))}
    formulas = [found for text in parts.values() for found in re.findall(r"<(?:c:)?f>([^<]*)<", text)]
    sheet = openpyxl.load_workbook(tmp_path / "kperf.xlsx").sheetnames[1]
    assert formulas and all(unescape(formula).startswith(f"'{sheet}'!$") for formula in formulas)
    assert not any("hyperlink" in text.lower() for name, text in parts.items() if "sheet" in name)
    assert "'=HYPERLINK(1)" in (tmp_path / "kperf.csv").read_text()
    assert {path.parent for path in (tmp_path / "charts").iterdir()} == {tmp_path / "charts"}
