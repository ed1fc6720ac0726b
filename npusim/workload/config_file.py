"""A JSON file's keys, read one by one; every mistake is one line that names file and key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs.json_text import read_json

MOST_SIZE = 10**8
"""Widths, heads, tokens, words: beyond it no published model goes."""
_NEAR = 0.9
"""Similarity of two keys that differ by a letter or two (Ratcliff and Obershelp's measure)."""
_NO_SPELLINGS: Mapping[str, tuple[str, ...]] = {}
_NO_DEFAULTS: Mapping[str, Any] = {}


class ConfigFile:
    """The top-level object of a JSON file. Raises UserError where the file is not readable as one.

    inner: path of the object that is read first, such as text_config, where the file has one; what it lacks is looked
    for at the top. spellings: by the name of a key here those under which a file may have it, the first one counts;
    a dot leads into an object, or to an entry of a list by its number. defaults: values of keys that are missing or
    null.
    """

    def __init__(self, path: Path, inner: str = "", data: dict[str, Any] | None = None) -> None:
        self.path = path
        self._data = _read(path) if data is None else data
        self._inner = inner
        self._spellings = _NO_SPELLINGS
        self._defaults = _NO_DEFAULTS
        self._asked: set[str] = set()
        self._defaulted: set[str] = set()

    def within(self, inner: str) -> ConfigFile:
        """The same file, of which the object at `inner` is read first."""
        return ConfigFile(self.path, inner, self._data)

    def spelled(self, spellings: Mapping[str, tuple[str, ...]], defaults: Mapping[str, Any]) -> ConfigFile:
        """The same file under these spellings of keys and defaults."""
        other = ConfigFile(self.path, self._inner, self._data)
        other._spellings, other._defaults = spellings, defaults
        return other

    @property
    def is_within(self) -> bool:
        """Whether an object within the file is read first."""
        return bool(self._inner)

    def taken(self) -> dict[str, Any]:
        """The defaults that were asked for, by their keys, since the file has none of their own."""
        return {key: value for key, value in self._defaults.items() if key in self._defaulted}

    def get(self, key: str) -> Any:
        """The value of `key`; its default (None without one) where it is missing or null."""
        found = self._find(key)
        if found is not None:
            return found[1]
        self._defaulted.add(key)
        return self._defaults.get(key)

    def has(self, key: str) -> bool:
        """Whether the file has `key`, if only as null."""
        return key in self.own()

    def name(self, key: str) -> str:
        """The path under which the file has `key`; itself where it has none."""
        found = self._find(key)
        return key if found is None else found[0]

    def _find(self, key: str) -> tuple[str, Any] | None:
        spellings = self._spellings.get(key, (key,))
        self._asked.update(spelling.partition(".")[0] for spelling in spellings)
        for spelling in spellings:
            for base in (f"{self._inner}.", "") if self._inner else ("",):
                value = self._at(f"{base}{spelling}")
                if value is not None:
                    return f"{base}{spelling}", value
        return None

    def _at(self, path: str) -> Any:
        node: Any = self._data
        for part in path.split("."):
            if isinstance(node, list) and part.isdecimal():
                node = node[int(part)] if int(part) < len(node) else None
            else:
                node = node.get(part) if isinstance(node, dict) else None
        return node

    def outer(self, key: str) -> Any:
        """The value of `key` at the top of the file, None where it is missing or null."""
        return self._data.get(key)

    def own(self) -> dict[str, Any]:
        """The object that is read first."""
        inner = self._at(self._inner) if self._inner else self._data
        return inner if isinstance(inner, dict) else {}

    def unasked(self) -> Iterator[tuple[str, Any]]:
        """Path and value of the keys of the object that is read first which nobody has asked for."""
        for key, value in self.own().items():
            if key not in self._asked:
                yield f"{self._inner}.{key}".lstrip("."), value

    def refuse_near_misses(self, read: Iterable[str], others: Callable[[str], bool], part: str = "") -> None:
        """Raises UserError for a key of the file, or of its object `part`, that is a misspelt one of those `read`.

        others: whether a key is one that is not read.
        """
        spelled = set(read)
        names = {_letters(name): name for name in sorted(spelled)}
        given = self.own() if not part else self.get(part)
        for key in sorted((given or {}).keys() - spelled):
            near = [] if others(key) else difflib.get_close_matches(_letters(key), names, n=1, cutoff=_NEAR)
            if near:
                path = f"{part or self._inner}.{key}".lstrip(".")
                raise self.mistake(path, f"unknown key; did you mean '{names[near[0]]}'?")

    def mistake(self, key: str, message: str) -> UserError:
        return UserError(str(self.path), self.name(key), message)

    def size(self, key: str, most: int = MOST_SIZE) -> int:
        """The positive whole number under `key`, at most `most`."""
        value = self.get(key)
        if value is None:
            raise self.mistake(key, "this key is missing; add it as a positive whole number")
        return self._size(key, value, most)

    def _size(self, key: str, value: Any, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.mistake(key, f"{json.dumps(value)} is not a positive whole number")
        if value > most:
            raise self.mistake(key, f"{value:,} is more than any model has (at most {most:,})")
        return value

    def whole(self, key: str, most: int = MOST_SIZE) -> int:
        """The whole number of 0 or more under `key`, 0 where it is missing."""
        value = self.get(key)
        return 0 if value is None or (value == 0 and not isinstance(value, bool)) else self.size(key, most)

    def optional_size(self, key: str) -> int | None:
        return None if self.get(key) is None else self.size(key)

    def uniform(self, key: str) -> int:
        """The positive whole number under `key`, where a list may repeat it for each layer."""
        value = self.get(key)
        if not isinstance(value, list):
            return self.size(key)
        sizes = {self._size(key, one, MOST_SIZE) for one in value}
        if len(sizes) != 1:
            raise self.mistake(key, "must be the same in all layers")
        return sizes.pop()

    def each(self, key: str, count: int, least: int = 1) -> tuple[int, ...]:
        """Whole numbers of at least `least` under `key`, one for each of `count` layers: a list, or one for all."""
        value = self.get(key)
        if not isinstance(value, list):
            return (self.size(key) if least else self.whole(key),) * count
        value = self._of_layers(value, count)
        if len(value) != count:
            raise self.mistake(key, f"must have an entry for each of the {count} layers, not {len(value)}")
        return tuple(
            0 if one == 0 and one is not False and not least else self._size(key, one, MOST_SIZE) for one in value
        )

    def _of_layers(self, value: list[Any], count: int) -> list[Any]:
        """The entries of the layers in a list that may go on with those of layers that predict further tokens."""
        further = len(value) - count
        return value[:count] if 0 < further <= self.whole("num_nextn_predict_layers") else value

    def flag(self, key: str) -> bool:
        """The true or false under `key`, false where it is missing."""
        value = self.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.mistake(key, f"{json.dumps(value)} is not true or false")
        return value

    def part(self, key: str) -> dict[str, Any]:
        """The object under `key`, empty where it is missing."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.mistake(key, "must be an object")
        return value

    def words(self, key: str, count: int, known: Iterable[str]) -> tuple[str, ...]:
        """The list under `key` of one of the `known` words for each of `count` layers."""
        value = self.get(key)
        value = self._of_layers(value, count) if isinstance(value, list) else value
        if not isinstance(value, list) or len(value) != count:
            raise self.mistake(key, f"must be a list with one entry for each of the {count} layers")
        known = tuple(known)
        strange = [word for word in value if word not in known]
        if strange:
            raise self.mistake(key, f"{str(strange[0])[:40]!r} is none of {', '.join(known)}")
        return tuple(value)


def _read(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise UserError(str(path), "", "must be a JSON object of keys and values")
    return data


def _letters(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")
