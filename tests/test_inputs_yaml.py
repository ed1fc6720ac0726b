"""YAML: what is read as what, and one line with the line's number for everything that is not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.hardware.description import read_yaml
from npusim.inputs.yaml_text import MOST_DEPTH, parsed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 12", 12),
        ("a: 012", 12),
        ("a: -1.5e-3", -1.5e-3),
        ("a: .5", 0.5),
        ("a: true", True),
        ("a: yes", "yes"),
        ("a: ~", None),
        ("a:", None),
        ("a: '12'", "12"),
        ("a: 2026-11-27", "2026-11-27"),
        ("a: 1_000", "1_000"),
        ("a: 0x10", "0x10"),
        ("a: 1,5", "1,5"),
        ("a: |\n  x\n  y\n", "x\ny\n"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parsed(text + "\n", "f.yaml")["a"]
    assert found == value
    assert type(found) is type(value)


def test_maps_and_lists_know_their_lines() -> None:
    tree = parsed("a:\n  b: 1\nc:\n- x\n- {d: 2,\n   e: 3}\n", "f.yaml")
    assert tree.lines == {"a": 1, "c": 3}
    assert tree["a"].lines == {"b": 2}
    assert tree["c"].lines == [4, 5]
    assert tree["c"][1].lines == {"d": 5, "e": 6}


def test_aliases_and_merge_keys_are_followed() -> None:
    tree = parsed("a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  x: 3\n", "f.yaml")
    assert tree["b"] == {"x": 1, "y": 2}
    assert tree["c"] == {"x": 3, "y": 2}


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: " + "[" * 20000 + "]" * 20000, 2, "nest"),
        ("".join("  " * level + "k:\n" for level in range(2000)), MOST_DEPTH + 2, "nested deeper"),
        (LAUGHS, 6, "more than 200,000 values"),
        ("a: &a {b: *a}\n", 1, "stands before the end"),
        ("a: *nowhere\n", 1, "stands before the end"),
        ("a: 1\nb: !!int abc\n", 2, "tag tag:yaml.org,2002:int"),
        ("a: !!python/object/apply:os.system ['id']\n", 1, "tag"),
        ("!foo\na: 1\n", 1, "tag"),
        ("a: " + "9" * 5000, 1, "at most 18 digits"),
        ("a: 1e999", 1, "no finite number"),
        ("a: .nan", 1, "no finite number"),
        ("a: -.inf", 1, "no finite number"),
        ('a: "\\uD800"', 1, "YAML syntax"),
        ('a: "\\e[2J"', 1, "control character"),
        ("a: " + "x" * 20000, 1, "too long"),
        ("? [a]\n: 1\n", 1, "a key must be a plain word"),
        ("a: 1\n---\na: 2\n", 2, "second document"),
        ("a: 1\na: 2\n", 2, "duplicate key"),
        ("a: {b: 1, b: 2}\n", 1, "duplicate key"),
        ("<<: [3]\n", 1, "<< takes a map"),
    ],
)
def test_what_is_not_read_is_one_line_with_its_number(text: str, line: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(text, "f.yaml")
    assert caught.value.location == f"f.yaml:{line}"
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_json_is_read_as_what_it_says(value: Any) -> None:
    assert parsed(json.dumps(value), "f.yaml") == value


@given(st.text(max_size=60))
def test_any_text_is_a_tree_or_one_line(text: str) -> None:
    try:
        parsed(text, "f.yaml")
    except UserError as mistake:
        assert "\n" not in str(mistake)


def test_a_list_is_no_description(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("- a\n")
    with pytest.raises(UserError, match="must be a map"):
        read_yaml(tmp_path / "f.yaml")
