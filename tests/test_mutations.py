"""Seeded mutations of files that are read: each is read, or refused in one line that names the file; nothing else."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from npusim.cli.main import main
from npusim.errors import UserError
from npusim.hardware.catalog import memory_path, pim_path, runtime_path, system_path
from npusim.hardware.description import EXTENDS
from npusim.inputs import read_tree
from npusim.lab.files.folder import hand_in
from npusim.workload.catalog import model_path
from npusim.workload.grid import grid_path, load_grid

SAMPLES = Path(__file__).parent / "samples" / "lab"
ROUNDS = 30
"""Mutations of each file."""

NUMBERS = (
    "-1", "0", ".nan", "NaN", "inf", "-Infinity", "1e300", "1e-300", "1e999", "9" * 5000, "1" + "0" * 30, "1,5",
    "1.000,5", "1_000", "0x10", "１２", "--5", "1/2", "true", "null", "0.5", "9223372036854775808",
)  # fmt: skip
VALUES = (
    "null", "[]", "{}", "[1, 2]", "{a: 1}", "!!int abc", "!!python/object/apply:os.system ['id']", "*nowhere", "&x",
    '"\\uD800"', '"\\0"', "'" + "x" * 20000 + "'", "../../etc/passwd", "💥", '""', "| ",
)  # fmt: skip
PIECES = ("{", "}", "[", "]", ":", ",", '"', "'", "\n", "-", "#", "\t", "\0", "\x1b", "\u2028", "%", "&a ", "*a")
NEVER = re.compile(r"value: (\.nan|NaN|inf|-Infinity|1e999|1,5|1\.000,5|--5|1/2|-1)[ ,}]")
"""What no provenance holds: a file with it must be refused."""

Mutation = Callable[[str, random.Random], str]


def _replaced(pattern: str, text: str, drawn: random.Random, new: Callable[[str], str]) -> str:
    """`text` with one of the places that fit a pattern written anew; as it was where none does."""
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    at = drawn.choice(found)
    return text[: at.start()] + new(at.group()) + text[at.end() :]


def _number(text: str, drawn: random.Random) -> str:
    """Another number in place of one of the file's."""
    return _replaced(r"(?<=[:\[, ])-?\d+(\.\d+)?", text, drawn, lambda _: drawn.choice(NUMBERS))


def _value(text: str, drawn: random.Random) -> str:
    """Something else in place of what stands behind a key, up to the end of the line or the next comma."""
    return _replaced(r"(?<=: )[^,\n{}]+", text, drawn, lambda _: drawn.choice(VALUES))


def _key(text: str, drawn: random.Random) -> str:
    """A key or column with a letter more or less, in capitals, or backwards."""

    def misspelt(word: str) -> str:
        at = drawn.randrange(3)
        return drawn.choice((word[:at] + word[at + 1 :], word[:at] + "x" + word[at:], word.upper(), word[::-1]))

    return _replaced(r"[A-Za-z_]{4,}", text, drawn, misspelt)


def _line(text: str, drawn: random.Random) -> str:
    """A line that is missing, stands twice, is indented or cut."""
    lines = text.split("\n")
    at = drawn.randrange(len(lines))
    lines[at : at + 1] = drawn.choice(([], [lines[at]] * 2, ["  " + lines[at]], [lines[at][: len(lines[at]) // 2]]))
    return "\n".join(lines)


def _cut(text: str, drawn: random.Random) -> str:
    return text[: drawn.randrange(len(text) + 1)]


def _piece(text: str, drawn: random.Random) -> str:
    at = drawn.randrange(len(text) + 1)
    return text[:at] + drawn.choice(PIECES) + text[at:]


def _deep(text: str, drawn: random.Random) -> str:
    depth = drawn.choice((100, 1000, 20000))
    return drawn.choice((text + "\nk: " + "[" * depth + "]" * depth, "[" * depth, '{"a":' * depth))


def _twice(text: str, drawn: random.Random) -> str:
    return text + drawn.choice(("", "\n---\n", "\n")) + text


MUTATIONS: tuple[Mutation, ...] = (_number, _number, _number, _value, _value, _key, _line, _cut, _piece, _deep, _twice)


def _mutated(path: Path, drawn: random.Random) -> bytes:
    text = path.read_text(encoding="utf-8")
    for _ in range(drawn.choice((1, 1, 2))):
        text = drawn.choice(MUTATIONS)(text, drawn)
    content = text.encode("utf-8", "surrogatepass")
    roll = drawn.random()
    if roll < 0.05:
        at = drawn.randrange(len(content) + 1)
        return content[:at] + b"\xe9\xff" + content[at:]
    return text.encode("utf-16", "surrogatepass") if roll < 0.08 else content


DESCRIPTIONS = {
    "rngd": system_path("rngd"),
    "rtx-a6000": system_path("rtx-a6000"),
    "lpddr6-pim": system_path("lpddr6-pim"),
    "vllm": runtime_path("vllm"),
    "furiosa-llm": runtime_path("furiosa-llm-2026.3"),
    "hbm3": memory_path("hbm3-6400"),
    "attacc": pim_path("attacc-bank"),
    "llama": model_path("llama-3.1-8b"),
    "deepseek": model_path("deepseek-v3"),
}


def _beside_what_it_extends(source: Path, folder: Path) -> Path:
    """`folder` with copies of the files whose paths the description, and those that it extends, tell."""
    told = read_tree(source).get(EXTENDS)
    while isinstance(told, str) and told.endswith(source.suffix):
        base = source.parent / told
        copy = folder / told
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(base, copy)
        further = read_tree(base).get(EXTENDS)
        told = None if further is None else os.path.relpath(base.parent / further, source.parent)
    return folder


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_mutated_description_is_shown_or_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = DESCRIPTIONS[name]
    folder = _beside_what_it_extends(source, tmp_path)
    path = folder / f"mine{source.suffix}"
    for number in range(ROUNDS):
        content = _mutated(source, random.Random(f"{name} {number}"))
        path.write_bytes(content)
        code = main(["show", str(path), "--json"])
        told = capsys.readouterr()
        assert code in (0, 2), f"{number}: {told.err}"
        if code == 2:
            errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1, f"{number}: {told.err}"
            assert "mine" in errors[0], f"{number}: {errors[0]}"
            assert len(errors[0]) < 1500, f"{number}"
            assert not told.out, f"{number}"
        else:
            assert not NEVER.search(re.sub(r"#.*", "", content.decode())), f"{number}: a mistake was accepted"


@pytest.mark.parametrize(
    "source",
    [path for path in sorted(SAMPLES.rglob("*")) if path.suffix in (".json", ".jsonl", ".csv", ".txt")],
    ids=lambda path: path.name,
)
def test_a_mutated_result_is_read_or_refused(source: Path, tmp_path: Path) -> None:
    path = tmp_path / source.name
    for number in range(ROUNDS):
        path.write_bytes(_mutated(source, random.Random(f"{source.name} {number}")))
        try:
            found = hand_in(path)
        except UserError as mistake:
            assert source.stem in str(mistake), f"{number}: {mistake}"
            assert len(str(mistake)) < 1500, f"{number}"
            continue
        figures = [figure for run in found.runs for figure in run.figures.values()]
        assert all(0.0 <= figure.value < 1e25 for figure in figures), f"{number}"


def test_a_mutated_grid_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for number in range(3 * ROUNDS):
        path.write_bytes(_mutated(grid_path("quick"), random.Random(number)))
        try:
            grid = load_grid(str(path))
        except UserError as mistake:
            assert "mine" in str(mistake), f"{number}: {mistake}"
            continue
        assert all(min(cell) > 0 for cell in grid.cells())
