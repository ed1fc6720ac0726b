"""JSON and JSON-lines text becomes plain values, within limits; what is broken is one line with file and line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs.files import read_text

MOST_DEPTH = 60
_MOST_DIGITS, _LONGEST = 19, 100
_UNBOUNDED = ("request_rate", "burstiness")
"""Keys under which harnesses write Infinity for what they do not limit."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises UserError."""
    return json_tree(read_text(path), str(path))


def json_tree(text: str, location: str, as_printed: bool = False, line: int | None = None) -> Any:
    """The value of JSON text from the file `location`, of the whole of it or of one line. Raises UserError.

    as_printed: fractions as Decimal, with the digits as written.
    """
    reader = _Reader(location if line is None else f"{location}:{line}", as_printed)
    try:
        tree = json.loads(
            text,
            parse_int=reader.whole,
            parse_float=reader.fraction,
            parse_constant=Decimal,
            object_pairs_hook=reader.pairs,
        )
    except json.JSONDecodeError as error:
        where = f"{location}:{error.lineno + (line or 1) - 1}"
        raise _Broken(where, "", f"is no JSON: {error.msg}; it is cut or broken") from error
    except RecursionError as error:
        raise UserError(location, "", f"is nested deeper than {MOST_DEPTH} levels") from error
    reader.check(tree, "\\u" in text)
    return tree


def json_lines(text: str, location: str) -> list[Any]:
    """The value of JSON text, or those of its lines, as printed. Raises UserError."""
    try:
        return [json_tree(text, location, as_printed=True)]
    except _Broken as whole:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        try:
            json_tree(lines[0][1], location)
        except _Broken:
            raise whole from whole.__cause__
    return [json_tree(line, location, True, number) for number, line in lines]


class _Broken(UserError):
    """Text that is no JSON at all."""


class _Reader:
    """The hooks of the parser: what a number and an object may be."""

    def __init__(self, location: str, as_printed: bool) -> None:
        self._location = location
        self._as_printed = as_printed

    def whole(self, text: str) -> int:
        if len(text.lstrip("-")) > _MOST_DIGITS:
            raise UserError(self._location, text, f"a whole number has at most {_MOST_DIGITS} digits here")
        return int(text)

    def fraction(self, text: str) -> float | Decimal:
        if len(text) > _LONGEST or not math.isfinite(float(text)):
            raise UserError(self._location, text, "is too large or too long for a number")
        return Decimal(text) if self._as_printed else float(text)

    def pairs(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(self._location, twice, "the key stands twice in one object; keep one")
        return found

    def _may_be_unbounded(self, key: str) -> bool:
        return self._as_printed and key in _UNBOUNDED

    def check(self, tree: Any, escapes: bool) -> None:
        """Raises UserError for what is nested too deep, no finite number, or half a character."""
        level: list[tuple[str, Any]] = [("", tree)]
        for _ in range(MOST_DEPTH):
            if not level:
                return
            for path, value in level:
                key = path.rpartition(".")[2]
                if isinstance(value, Decimal) and not value.is_finite() and not self._may_be_unbounded(key):
                    raise UserError(self._location, path, f"{value} is no finite number")
                if escapes and isinstance(value, str) and _SURROGATE.search(value):
                    raise UserError(self._location, path, "the text holds half a character (\\ud800 to \\udfff)")
            level = [item for path, value in level for item in _items(path, value)]
        if level:
            raise UserError(self._location, level[0][0], f"is nested deeper than {MOST_DEPTH} levels")


def _items(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What a value holds by dotted path, items of lists under that of the list; keys of objects are texts as well."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}".lstrip("."), item
            yield path, key
    elif isinstance(value, list):
        yield from ((path, item) for item in value)
