"""Headings and sentences in another language than English: a catalogue from the English words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from npusim.errors import UserError
from npusim.inputs import read_tree, remembered
from npusim.metric_names import headings_in

ENGLISH = "en"
_CATALOGUES = {path.stem: path for path in (Path(str(files("npusim"))) / "languages").glob("*.yaml")}
LANGUAGES = (ENGLISH, *sorted(_CATALOGUES))
"""A language is a file of `languages/`, from the English words to its own."""
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
    words = {} if language == ENGLISH else catalogue(language)

    def say(text: str, /, **values: Any) -> str:
        translated = words.get(text, text)
        return translated.format(**values) if values else translated

    return say


@remembered
def catalogue(language: str) -> dict[str, str]:
    """Translations by the English words; what is said of figures stands in their rows, unless the file says it."""
    told = read_tree(_CATALOGUES[language])
    return headings_in(language) | {key: str(value) for key, value in told.items()}
