"""Finished text in another language: by its words, its sentences and its parts, else as it is."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import npusim
from npusim.errors import UserError
from npusim.hardware.catalog import load_system, shipped_systems
from npusim.hardware.data import data_root
from npusim.phrasebook import Phrasebook
from npusim.words import ENGLISH, LANGUAGES, _read, sentences, speaker

WORDS = {"memory": "M", "the host": "H", "output": "O", "fixed lengths": "F", "nothing; at all": "N"}
SENTENCES = {
    "bound by {what}": "{what} binds",
    "{n_cards} cards of {w_chip}": "{w_chip} x {n_cards}",
    "needs {need} of {what}": "{what}: {need}",
    "{n_low} to {n_high}": "{n_low}~{n_high}",
}
BOOK = Phrasebook(WORDS, SENTENCES)
OTHERS = [language for language in LANGUAGES if language != ENGLISH]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("memory", "M"),
        ("bound by memory", "M binds"),
        ("Bound by the host.", "H binds."),
        ("bound by memory. 4 cards of rngd.", "M binds. rngd x 4."),
        ("told: memory, fixed lengths", "told: M, F"),
        ("output needs 3 to 4 of memory; nothing; at all", "O: M; N: 3~4"),
        ("memory 12.5", "M 12.5"),
        ("rngd, bf16 (of memory, the host)", "rngd, bf16 (of memory, the host)"),
        ("four cards of rngd", "four cards of rngd"),
        ("", ""),
        (" ", " "),
        ("{what} {0}", "{what} {0}"),
    ],
)
def test_text_is_told_by_what_the_book_knows(text: str, told: str) -> None:
    assert BOOK.tell(text) == told


@given(st.text())
def test_a_book_without_words_tells_any_text_as_it_is(text: str) -> None:
    assert Phrasebook({}, {}).tell(text) == re.sub(r"(?<=[.!?])\s+", " ", text)


@given(st.text(alphabet="{}abc:;,. 1", max_size=40))
def test_text_of_strangers_commands_nothing(text: str) -> None:
    assert isinstance(BOOK.tell(text), str)


@cache
def _said_in_code() -> str:
    """Every text of the package, names of keys as words, and of the shipped descriptions."""
    root = Path(npusim.__file__).parent
    texts = []
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    texts += [path.read_text(encoding="utf-8") for path in sorted(data_root("arch_configs").rglob("*.yaml"))]
    texts += [path.read_text(encoding="utf-8") for path in sorted(data_root("workloads").rglob("*.yaml"))]
    return "\n".join(re.sub(r"\s+", " ", text.replace("_", " ")) for text in texts)


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_the_book_is_said_somewhere(language: str) -> None:
    """A sentence that the code no longer says would be translated for nobody: words of it stand there."""
    for english in sentences(language):
        runs = re.findall(r"[A-Za-z' -]{10,}", re.sub(r"\{\w+\}", "\n", english))
        assert not runs or any(run.strip() in _said_in_code() for run in runs), english


@pytest.mark.parametrize("language", OTHERS)
def test_notes_of_all_shipped_chips_are_told(language: str) -> None:
    say = speaker(language)
    for name in shipped_systems():
        note = load_system(name).note.strip()
        assert say(note) != note, name


def test_words_of_two_files_are_not_translated_twice(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text('"memory": "M"\n', encoding="utf-8")
    with pytest.raises(UserError, match="memory: is translated"):
        _read([tmp_path / "a.yaml", tmp_path / "b.yaml"])
