"""JSON, CSV, numbers and workbooks: what is read as what, and one line for everything that is not read."""

from __future__ import annotations

import io
import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.inputs.csv_text import csv_table
from npusim.inputs.json_text import MOST_DEPTH, json_lines, json_tree
from npusim.inputs.numbers import decimal, plain
from npusim.inputs.workbook import sheets


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_a_printed_number_is_read_back(number: Decimal) -> None:
    assert decimal(str(number)) == number
    assert decimal(f"{number:,}") == number
    assert plain(f" {number} ") == float(number)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("52,4", "decimal comma; write a decimal point"),
        ("1.155,5", "decimal comma"),
        ("1,23,456", "is no number"),
        ("1_000", "is no number"),
        ("１２", "is no number"),
        ("0x10", "is no number"),
        ("nan", "is no finite number"),
        ("-Infinity", "is no finite number"),
        ("1e999", "is too large"),
        ("9" * 5000, "is too long"),
        ("", "is no number"),
        (True, "true is no number"),
        (None, "nothing is no number"),
        ({"a": 1}, "an object is no number"),
    ],
)
def test_what_is_no_number_says_why(text: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        decimal(text)
    assert len(str(caught.value)) < 200
    assert not isinstance(text, str) or plain(text) is None


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_reason(text: str) -> None:
    try:
        assert decimal(text).is_finite()
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("[" * 100000 + "]" * 100000, "f.json", "nested deeper"),
        ('{"a":' * (MOST_DEPTH + 1) + "1" + "}" * (MOST_DEPTH + 1), "f.json", "nested deeper"),
        ('{"a": ' + "9" * 5000 + "}", "f.json", "at most 19 digits"),
        ('{"a": 1e999}', "f.json", "too large"),
        ('{"a": {"b": [1, NaN]}}', "f.json", "a.b: NaN is no finite number"),
        ('{"request_rate": Infinity}', "f.json", "request_rate: Infinity is no finite number"),
        ('{"a": 1, "a": 2}', "f.json", "stands twice"),
        ('{"a": "\\ud800"}', "f.json", "a: the text holds half a character"),
        ('{"\\udfff": 1}', "f.json", "half a character"),
        ('{\n"a": 1,\n', "f.json:3", "cut or broken"),
        ("", "f.json:1", "cut or broken"),
    ],
)
def test_json_that_is_not_read_is_one_line(text: str, location: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        json_tree(text, "f.json")
    assert caught.value.location == location
    assert len(str(caught.value)) < 300


def test_what_harnesses_do_not_limit_may_be_infinite() -> None:
    (found,) = json_lines('{"request_rate": Infinity, "a": 1.50}', "f.json")
    assert str(found["a"]) == "1.50"
    assert str(found["request_rate"]) == "Infinity"


def test_json_lines_name_the_line_that_is_broken() -> None:
    assert json_lines('{"a": 1}\n\n{"a": 2}\n', "f.jsonl") == [{"a": 1}, {"a": 2}]
    with pytest.raises(UserError, match=r"f.jsonl:2: is no JSON"):
        json_lines('{"a": 1}\n{"a": \n', "f.jsonl")


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("", "f.csv", "no header line"),
        ("a,b\n1\n", "f.csv:2", "1 fields instead of 2"),
        ("a,a\n1,2\n", "f.csv:1", "the column 'a' stands twice"),
        ("a,\n1,2\n", "f.csv:1", "a column has no name"),
        ('a,b\n"1,2\n', "f.csv:2", "cut or broken"),
        (",".join(f"c{n}" for n in range(3000)), "f.csv:1", "more than 2,000 columns"),
        ("a\n" + "x" * 200_000, "f.csv:2", "cut or broken"),
    ],
)
def test_csv_that_is_not_read_is_one_line(text: str, location: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        csv_table(text, "f.csv")
    assert caught.value.location == location


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append([1, 2.5])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _changed(name: str, old: bytes, new: bytes) -> bytes:
    """The workbook with `old` replaced in one of its parts."""
    source, out = zipfile.ZipFile(io.BytesIO(_workbook())), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in source.namelist():
            content = source.read(part)
            assert part != name or old in content
            archive.writestr(part, content.replace(old, new) if part == name else content)
    return out.getvalue()


def _read(path: Path) -> list[Any]:
    return [cells for sheet in sheets(path) for _, cells in sheet.rows]


SHEET = "xl/worksheets/sheet1.xml"
DOCTYPE = b'<!DOCTYPE l [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><worksheet'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "no whole Excel workbook"),
        (lambda: b"not a workbook", "no whole Excel workbook"),
        (lambda: _workbook()[:-300], "no whole Excel workbook"),
        (lambda: _changed(SHEET, b"2.5", b"inf"), "no whole Excel workbook"),
        (lambda: _changed(SHEET, b"2.5", b"abc"), "no whole Excel workbook"),
        (lambda: _changed(SHEET, b'r="A1"', b'r="ZZZZZ1"'), "no whole Excel workbook"),
        (lambda: _changed(SHEET, b"</sheetData>", b""), "no whole Excel workbook"),
        (lambda: _changed(SHEET, b"<worksheet", DOCTYPE), "no whole Excel workbook"),
        (lambda: _changed("xl/workbook.xml", b"<workbook", b"<w"), "no whole Excel workbook"),
        (lambda: _changed(SHEET, b"</row>", b"<c><v>1</v></c>" * 300_000 + b"</row>"), "unpacks from"),
        (lambda: _changed(SHEET, b"</row>", b"<row/>" * 9_000_000 + b"</row>"), "unpacks"),
    ],
)
def test_a_workbook_that_is_not_read_is_one_line(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "k.xlsx"
    path.write_bytes(content())
    with pytest.raises(UserError, match=message):
        _read(path)


def test_a_whole_workbook_is_read(tmp_path: Path) -> None:
    (tmp_path / "k.xlsx").write_bytes(_workbook())
    assert _read(tmp_path / "k.xlsx") == [("a", "b"), (1, 2.5)]


@given(st.recursive(st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(), st.lists, max_leaves=10))
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert json_tree(json.dumps(value, ensure_ascii=False), "f.json") == value
