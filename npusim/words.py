"""Headings and sentences in another language than English: a catalogue from the English words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from npusim.errors import UserError

ENGLISH, KOREAN = "en", "ko"
LANGUAGES = (ENGLISH, KOREAN)

Say = Callable[..., str]
"""say(text, **values): the text in the reader's language, with the values put into its {places}."""


def speaker(language: str) -> Say:
    """What says things in `language`. Words that the catalogue lacks stay English. Raises UserError."""
    if language not in LANGUAGES:
        raise UserError("--lang", "", f"'{language}' is not spoken; use {' or '.join(LANGUAGES)}")
    words = {} if language == ENGLISH else catalogue(language)

    def say(text: str, /, **values: Any) -> str:
        translated = words.get(text, text)
        return translated.format(**values) if values else translated

    return say


@cache
def catalogue(language: str) -> dict[str, str]:
    """Translations by the English words."""
    text = (files("npusim") / "languages" / f"{language}.yaml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in YAML(typ="safe").load(text).items()}
