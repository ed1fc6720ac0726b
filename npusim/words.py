"""Headings and sentences in another language than English: a catalogue from the English words.

`languages/ko.yaml` holds what is said by its literal words; `languages/ko/` more of them by theme, and in
`sentences*.yaml` the sentences that come finished, with their values in place (`phrasebook`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from npusim.errors import UserError
from npusim.inputs import read_tree, remembered
from npusim.metric_names import headings_in
from npusim.phrasebook import Phrasebook

ENGLISH = "en"
_CATALOGUES = {path.stem: path for path in (Path(str(files("npusim"))) / "languages").glob("*.yaml")}
LANGUAGES = (ENGLISH, *sorted(_CATALOGUES))
"""A language is a file of `languages/`, from the English words to its own."""
_SENTENCES = "sentences"
"""What the names of files begin with whose sentences come finished."""
if TYPE_CHECKING:
    Language = str
else:
    Language = Literal[LANGUAGES]

Say = Callable[..., str]
"""say(text, **values): the text in the reader's language, with the values put into its {places}."""
Tell = Callable[[str], None]
"""Takes a line that tells how far a command is."""


@dataclass(frozen=True)
class Phrase:
    """A sentence that is said later, in any language. text: in English, with {places}; values: what stands there."""

    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text.format(**self.values)

    def in_words_of(self, say: Say) -> str:
        """The sentence in the language that `say` speaks; values that are phrases themselves too."""
        spoken = {
            name: value.in_words_of(say) if isinstance(value, Phrase) else value for name, value in self.values.items()
        }
        return say(self.text, **spoken)


def speaker(language: str) -> Say:
    """What says things in `language`. Words that the catalogue lacks stay English. Raises UserError."""
    if language not in LANGUAGES:
        raise UserError("--lang", "", f"'{language}' is not spoken; use {' or '.join(LANGUAGES)}")
    return _in_english if language == ENGLISH else _speaker_of(language)


def _in_english(text: str, /, **values: Any) -> str:
    return text.format(**values) if values else text


@remembered
def _speaker_of(language: str) -> Say:
    words = catalogue(language)
    book = Phrasebook(words, sentences(language))

    def say(text: str, /, **values: Any) -> str:
        if not values:
            return book.tell(text)
        told = {name: book.tell(value) if isinstance(value, str) else value for name, value in values.items()}
        return words.get(text, text).format(**told)

    return say


@remembered
def catalogue(language: str) -> dict[str, str]:
    """Translations by the English words; what is said of figures stands in their rows, unless a file says it."""
    files = [_CATALOGUES[language], *(path for path in _themes(language) if not path.stem.startswith(_SENTENCES))]
    return headings_in(language) | _read(files) | sentences(language)


@remembered
def sentences(language: str) -> dict[str, str]:
    """Translations of sentences that come finished, with {places} for their values."""
    return _read([path for path in _themes(language) if path.stem.startswith(_SENTENCES)])


def _themes(language: str) -> list[Path]:
    return sorted(_CATALOGUES[language].with_suffix("").glob("*.yaml"))


def _read(paths: Sequence[Path]) -> dict[str, str]:
    """All of the files. Raises UserError for words that two of them translate."""
    found: dict[str, str] = {}
    for path in paths:
        told = {key: str(value) for key, value in read_tree(path).items()}
        twice = found.keys() & told.keys()
        if twice:
            raise UserError(str(path), min(twice), "is translated in another file of the language already")
        found |= told
    return found
