"""YAML text becomes a plain tree of maps, lists, texts and numbers that know their lines, within limits.

What YAML can say beyond that is refused in one line: tags, several documents, duplicate keys, numbers
that are not finite. Aliases and merge keys are followed as long as the tree stays small. Dates stay texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from npusim.errors import UserError

MOST_DEPTH = 40
MOST_NODES = 200_000
MOST_LETTERS = 10_000
MOST_DIGITS = 18

_NULL = {"", "~", "null", "Null", "NULL"}
_FLAGS = {word: value for value in (True, False) for word in (str(value), str(value).lower(), str(value).upper())}
_WHOLE = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_PARSER = getattr(yaml, "CLoader", yaml.Loader)


class YamlMap(dict[str, Any]):
    """A map. lines: of each key, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class YamlList(list[Any]):
    """A list. lines: of each item, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


def parsed(text: str, location: str) -> Any:
    """The tree of the one document in `text`. location: the file, for messages. Raises UserError with the line."""
    try:
        return _Composer(yaml.parse(text, Loader=_PARSER), location).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise UserError(f"{location}{line}", "", f"YAML syntax: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(location, "", "YAML syntax: a control character, which no text holds; take it out") from error


class _Composer:
    """Builds the tree of a stream of parser events. _anchors: nodes that have a name, with their size in nodes."""

    def __init__(self, events: Iterator[yaml.Event], location: str) -> None:
        self._events, self._location = events, location
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def document(self) -> Any:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        else:
            raise UserError(self._location, "", "is empty; give a map of keys to values")
        tree = self._node(next(self._events), "", 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._mistake(after, "", "a second document begins; give each a file of its own")
        return tree

    def _node(self, event: Any, key: str, depth: int) -> Any:
        if depth > MOST_DEPTH:
            raise self._mistake(event, key, f"is nested deeper than {MOST_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, key)
        self._count(event, key, 1)
        if event.tag is not None:
            raise self._mistake(event, key, f"the tag {event.tag} is not read; write the value alone")
        before = self._nodes
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, key)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._map(key, depth)
        else:
            node = self._list(key, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1 + self._nodes - before)
        return node

    def _alias(self, event: yaml.AliasEvent, key: str) -> Any:
        if event.anchor not in self._anchors:
            raise self._mistake(event, key, f"*{event.anchor} stands before the end of what &{event.anchor} names")
        node, size = self._anchors[event.anchor]
        self._count(event, key, size)
        return node

    def _map(self, path: str, depth: int) -> YamlMap:
        found, merged = YamlMap(), set[str]()
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or not event.value:
                raise self._mistake(event, path, "a key must be a plain word")
            key = self._text(event, path)
            if key in found and key not in merged:
                raise self._mistake(event, "", f'YAML syntax: found duplicate key "{key}"')
            value = self._node(next(self._events), f"{path}.{key}".lstrip("."), depth + 1)
            if key == "<<":
                merged |= self._merge(event, found, value, path)
                continue
            merged.discard(key)
            found[key], found.lines[key] = value, _line(event)
        return found

    def _merge(self, event: yaml.Event, found: YamlMap, value: Any, path: str) -> set[str]:
        """Takes over the keys of a map, or of several, that `found` lacks; returns them."""
        added: set[str] = set()
        for part in value if isinstance(value, YamlList) else [value]:
            if not isinstance(part, YamlMap):
                raise self._mistake(event, path, "<< takes a map or a list of maps")
            for key in part.keys() - found.keys():
                found[key], found.lines[key] = part[key], _line(event)
                added.add(key)
        return added

    def _list(self, path: str, depth: int) -> YamlList:
        found = YamlList()
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.lines.append(_line(event))
            found.append(self._node(event, f"{path}.{len(found)}".lstrip("."), depth + 1))
        return found

    def _scalar(self, event: yaml.ScalarEvent, key: str) -> Any:
        text = self._text(event, key)
        if event.style:
            return text
        if text in _NULL:
            return None
        if text in _FLAGS:
            return _FLAGS[text]
        if _WHOLE.fullmatch(text):
            if len(text.lstrip("+-0")) > MOST_DIGITS:
                raise self._mistake(event, key, f"a whole number has at most {MOST_DIGITS} digits here")
            return int(text)
        value = float(text) if _DECIMAL.fullmatch(text) else 0.0
        if _NOT_FINITE.fullmatch(text) or not math.isfinite(value):
            raise self._mistake(event, key, f"{text} is no finite number")
        return value if _DECIMAL.fullmatch(text) else text

    def _text(self, event: yaml.ScalarEvent, key: str) -> str:
        text: str = event.value
        if len(text) > MOST_LETTERS:
            raise self._mistake(event, key, f"a text of {len(text):,} letters is too long (at most {MOST_LETTERS:,})")
        if _CONTROL.search(text):
            raise self._mistake(event, key, "the text holds a control character; take it out")
        return text

    def _count(self, event: yaml.Event, key: str, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise self._mistake(event, key, f"the file has more than {MOST_NODES:,} values, those of aliases included")

    def _mistake(self, event: yaml.Event, key: str, message: str) -> UserError:
        return UserError(f"{self._location}:{_line(event)}", key, message)


def _line(event: yaml.Event) -> int:
    """The line of the file, from 1, at which an event begins."""
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1
