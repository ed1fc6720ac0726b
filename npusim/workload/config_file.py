"""A JSON file's keys, read one by one; every mistake is one line that names file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs.json_text import read_json


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

    def mistake(self, key: str, message: str) -> UserError:
        return UserError(str(self.path), key, message)

    def size(self, key: str) -> int:
        """The positive whole number under `key`."""
        value = self.get(key)
        if value is None:
            raise self.mistake(key, "this key is missing; add it as a positive whole number")
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.mistake(key, f"{json.dumps(value)} is not a positive whole number")
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
