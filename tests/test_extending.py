"""The recipes of docs/extending.md, carried out as they are written on one copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extending.md"
_COPIED = ("npusim", "arch_configs", "workloads", "rules", "validation/sources.yaml")
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


@dataclass(frozen=True)
class Copy:
    """root: of the copied package and its data; aside: a folder for what its commands keep."""

    root: Path
    aside: Path

    def shell(self, commands: str) -> str:
        """What the commands print at the root, where `npusim` is the copy's own. Its kernels are kept aside."""
        (self.aside / "npusim").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m npusim "$@"\n')
        (self.aside / "npusim").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        own = {
            "PYTHONPATH": str(self.root),
            "XDG_CACHE_HOME": str(self.aside / "cache"),
            "PATH": f"{self.aside}{os.pathsep}{os.environ['PATH']}",
        }
        words = ["bash", "-euc", commands]
        done = subprocess.run(words, cwd=self.root, env=kept | own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout


def recipes() -> list[Recipe]:
    parts = _HEADING.split(PAGE.read_text(encoding="utf-8"))[1:]
    return [
        Recipe(name, int(files), tuple(Block(*found) for found in _BLOCK.findall(text)))
        for name, files, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True)
    ]


RECIPES = recipes()


def test_recipes_do_what_they_say(tmp_path: Path) -> None:
    """All on one copy, in one test, so that its kernels are compiled once: files that each touches, and answers."""
    copy = _copy(tmp_path)
    for recipe in RECIPES:
        before = _contents(copy.root)
        for block in recipe.blocks:
            if block.file:
                _apply(copy.root / block.file, block.text)
            elif block.language == "sh":
                copy.shell("\n".join(_making(block.text)))
        after = _contents(copy.root)
        touched = {name for name in after if "/" in name and before.get(name) != after[name]}
        assert len(touched) == recipe.files, (recipe.name, touched)
    for recipe in RECIPES:
        told = 0
        for command, answer in zip(recipe.blocks, recipe.blocks[1:], strict=False):
            if command.language == "sh":
                _compare(recipe.name, copy.shell(command.text), answer)
                told += 1
        assert told, recipe.name


def _compare(name: str, printed: str, answer: Block) -> None:
    if answer.language == "json":
        assert _holds(json.loads(printed), json.loads(answer.text)), (name, printed[-3000:])
    else:
        assert answer.text in printed, (name, printed[-3000:])


def _copy(folder: Path) -> Copy:
    root, aside = folder / "copy", folder / "aside"
    aside.mkdir()
    for name in _COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    return Copy(root, aside)


def _contents(root: Path) -> dict[str, bytes]:
    """Every file by its path from the root."""
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


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


def _holds(answer: Any, expected: Any) -> bool:
    """Whether the answer has everything that is expected of it, at any depth."""
    if isinstance(expected, dict):
        return isinstance(answer, dict) and all(
            name in answer and _holds(answer[name], part) for name, part in expected.items()
        )
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_holds, answer, expected))
    return bool(answer == expected)


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
