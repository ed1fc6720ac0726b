"""A JSON file's keys, read one by one; every mistake is one line that names file and key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs.json_text import read_json

MOST_SIZE = 10**8
"""Widths, heads, tokens, words: beyond it no published model goes."""
_NEAR = 0.9
"""Similarity of two keys that differ by a letter or two (Ratcliff and Obershelp's measure)."""


class ConfigFile:
    """The top-level object of a JSON file. Raises UserError where the file is not readable as one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = _read(path)

    def get(self, key: str) -> Any:
        """The value of `key`, None where it is missing or null."""
        return self._data.get(key)

    def has(self, key: str) -> bool:
        return key in self._data

    def refuse_near_misses(self, known: Iterable[str], part: str = "") -> None:
        """Raises UserError for a key of the file, or of its object `part`, that is a misspelt one of `known`."""
        names = {_letters(name): name for name in known}
        given = self._data if not part else self.get(part)
        for key in (given or {}).keys() - set(names.values()):
            near = difflib.get_close_matches(_letters(key), names, n=1, cutoff=_NEAR)
            if near:
                path = f"{part}.{key}".lstrip(".")
                raise self.mistake(path, f"unknown key; did you mean '{names[near[0]]}'?")

    def mistake(self, key: str, message: str) -> UserError:
        return UserError(str(self.path), key, message)

    def size(self, key: str, most: int = MOST_SIZE) -> int:
        """The positive whole number under `key`, at most `most`."""
        value = self.get(key)
        if value is None:
            raise self.mistake(key, "this key is missing; add it as a positive whole number")
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.mistake(key, f"{json.dumps(value)} is not a positive whole number")
        if value > most:
            raise self.mistake(key, f"{value:,} is more than any model has (at most {most:,})")
        return value

    def whole(self, key: str) -> int:
        """The whole number of 0 or more under `key`."""
        return 0 if self.get(key) == 0 and not isinstance(self.get(key), bool) else self.size(key)

    def optional_size(self, key: str) -> int | None:
        return None if self.get(key) is None else self.size(key)

    def flag(self, key: str) -> bool:
        """The true or false under `key`, false where it is missing."""
        value = self.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.mistake(key, f"{json.dumps(value)} is not true or false")
        return value


def _read(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise UserError(str(path), "", "must be a JSON object of keys and values")
    return data


def _letters(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")
