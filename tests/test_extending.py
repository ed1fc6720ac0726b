"""The recipes of docs/extending.md, carried out as they are written on one copy of the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scratch_support import ROOT, Scratch, scratch_copy

PAGE = ROOT / "docs" / "extending.md"
_HEADING = re.compile(r"^## (A .+): (\d) files?(?:, no code)?$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """language: of the code; file: that it goes into, "" for a command and for its answer."""

    language: str
    file: str
    text: str


@dataclass(frozen=True)
class Recipe:
    name: str
    files: int
    blocks: tuple[Block, ...]


def recipes() -> list[Recipe]:
    parts = _HEADING.split(PAGE.read_text(encoding="utf-8"))[1:]
    return [
        Recipe(name, int(files), tuple(Block(*found) for found in _BLOCK.findall(text)))
        for name, files, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True)
    ]


RECIPES = recipes()


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scratch, dict[str, set[str]]]:
    """The copy with every recipe's files, and the files of npusim that each recipe changed."""
    scratch = scratch_copy(tmp_path_factory.mktemp("extended"))
    touched = {}
    for recipe in RECIPES:
        before = scratch.contents()
        for block in recipe.blocks:
            if block.file:
                _apply(scratch.root / block.file, block.text)
            elif block.language == "sh":
                _shell(scratch, "\n".join(_making(block.text)))
        after = scratch.contents()
        touched[recipe.name] = {name for name in after if "/" in name and before.get(name) != after[name]}
    return scratch, touched


def _apply(path: Path, text: str) -> None:
    """A new file, or the lines below the first behind the line that this is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        return
    anchor, rest = text.split("\n", 1)
    lines = path.read_text(encoding="utf-8")
    assert f"\n{lines}".count(f"\n{anchor}\n") == 1, f"{path.name}: {anchor}"
    path.write_text(lines.replace(f"{anchor}\n", f"{anchor}\n{rest}", 1), encoding="utf-8")


def _making(commands: str) -> list[str]:
    """The commands that make files, for which nothing of npusim runs."""
    whole = commands.replace("\\\n", " ").splitlines()
    return [line for line in whole if line.startswith("sed ")]


def _shell(scratch: Scratch, commands: str) -> str:
    """What the commands print at the root of the copy; `npusim` is its own."""
    (scratch.work / "npusim").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m npusim "$@"\n')
    (scratch.work / "npusim").chmod(0o755)
    environment = scratch.environment() | {"PATH": f"{scratch.work}{os.pathsep}{os.environ['PATH']}"}
    words = ["bash", "-euc", commands]
    done = subprocess.run(words, cwd=scratch.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def _holds(answer: Any, expected: Any) -> bool:
    """Whether the answer has everything that is expected of it, at any depth."""
    if isinstance(expected, dict):
        return isinstance(answer, dict) and all(
            name in answer and _holds(answer[name], part) for name, part in expected.items()
        )
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_holds, answer, expected))
    return bool(answer == expected)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_touches_as_many_files_as_it_says(
    recipe: Recipe, extended: tuple[Scratch, dict[str, set[str]]]
) -> None:
    assert len(extended[1][recipe.name]) == recipe.files, extended[1][recipe.name]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_does_what_it_says(recipe: Recipe, extended: tuple[Scratch, dict[str, set[str]]]) -> None:
    told = 0
    for command, answer in zip(recipe.blocks, recipe.blocks[1:], strict=False):
        if command.language != "sh":
            continue
        printed = _shell(extended[0], command.text)
        if answer.language == "json":
            assert _holds(json.loads(printed), json.loads(answer.text)), printed[-3000:]
        else:
            assert answer.text in printed
        told += 1
    assert told


def test_the_table_lists_the_recipes() -> None:
    """Each with its number of files, and a link to its heading."""
    text = PAGE.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", found.lower()).replace(" ", "-")
        for found in re.findall("^## (.*)", text, re.MULTILINE)
    }
    rows = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \| (\d)", text, re.MULTILINE)
    assert {link for _, link, _ in rows} == headings
    assert {f"A{name[1:]}": int(files) for name, _, files in rows} == {each.name: each.files for each in RECIPES}


def test_the_goals_are_met() -> None:
    files = {each.name: each.files for each in RECIPES}
    assert files["A collective algorithm"] == files["A lab format"] == 1
    assert not [block for each in RECIPES if "DRAM" in each.name for block in each.blocks if block.language == "python"]
