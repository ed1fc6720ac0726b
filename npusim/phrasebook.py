"""Finished English text in another language: words as they are, and sentences whose values stand in {places}.

Reasons, refusals, remarks and notes come finished from the rooms that know them. A page in another language looks them
up here: whole, then by the sentence that they are made from, then by their sentences and parts. What is not known stays
as it is: names, files and sources.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)"
_NUMBER_AND_UNIT = re.compile(rf"({_NUMBER}%?) (\S+)")
_COUNTED = re.compile(rf"(.+?) ({_NUMBER}(?: ?%)?|\({_NUMBER}.*\))")
_TAKE = {"n_": _NUMBER, "w_": r"\S*[^\s:;,]"}
"""What places take whose names begin so: a number, one word; others take anything."""
_JOINTS = ("; ", ": ", ", ")
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_KEPT = 8192


class Phrasebook:
    """Words and sentences of one language.

    words: translations by the English words; sentences: the same with {places}, of which n_... take numbers and w_...
    single words.
    """

    def __init__(self, words: Mapping[str, str], sentences: Mapping[str, str]) -> None:
        self._words = words
        made = sorted((_Sentence(english, other) for english, other in sentences.items()), key=_Sentence.rank)
        self._sentences = tuple(made)
        self.tell = lru_cache(_KEPT)(self._tell)
        """tell(text): the text in the language, unchanged where nothing of it is known."""

    def _tell(self, text: str) -> str:
        return self._words.get(text) or self._ended(text) or self._known(text) or self._in_parts(text)

    def _known(self, text: str) -> str | None:
        """A word or a sentence of the book, with a small letter or a word of the book before it."""
        if text in self._words:
            return self._words[text]
        told = self._as_sentence(text)
        small, (head, _, rest) = f"{text[:1].lower()}{text[1:]}", text.partition(" ")
        if told is None and small != text:
            told = self._words.get(small) or self._as_sentence(small)
        if told is None and head in self._words:
            said = self._words.get(rest) or self._as_sentence(rest)
            told = said and f"{self._words[head]}: {said}"
        return told

    def _as_sentence(self, text: str) -> str | None:
        """By the sentence of the book that it is."""
        for sentence in self._sentences:
            values = sentence.values_of(text)
            if values is not None:
                return sentence.other.format(**{name: self.tell(value) for name, value in values.items()})
        return None

    def _ended(self, text: str) -> str | None:
        """As what it is without its full stop."""
        told = self._known(text[:-1]) if text.endswith(".") else None
        return told and f"{told.rstrip('.')}."

    def _in_parts(self, text: str) -> str:
        """By its sentences, else what is said of a head, else by the parts of a list, else a word and its number."""
        sentences = _SENTENCES.split(text)
        if len(sentences) > 1:
            return " ".join(self.tell(each) for each in sentences)
        head, _, rest = text.partition(": ")
        headed = rest and (self._ended(rest) or self._known(rest))
        if headed:
            return f"{self.tell(head)}: {headed}"
        for joint in _JOINTS:
            parts = _split(text, joint)
            if len(parts) > 1:
                return self._joined(parts, joint)
        counted, measured = _COUNTED.fullmatch(text), _NUMBER_AND_UNIT.fullmatch(text)
        if counted:
            return f"{self.tell(counted[1])} {self.tell(counted[2])}"
        return f"{measured[1]} {self._words.get(measured[2], measured[2])}" if measured else text

    def _joined(self, parts: Sequence[str], joint: str) -> str:
        """The parts of a list, of which as many together as the book knows make one."""
        for count in range(len(parts) - 1, 1, -1):
            known = self._known(joint.join(parts[:count]))
            if known is not None:
                return f"{known}{joint}{self.tell(joint.join(parts[count:]))}"
        return f"{self.tell(parts[0])}{joint}{self.tell(joint.join(parts[1:]))}"


def _split(text: str, joint: str) -> list[str]:
    """The parts between joints, but for joints in brackets."""
    parts: list[str] = []
    for piece in text.split(joint):
        if parts and parts[-1].count("(") > parts[-1].count(")"):
            parts[-1] += joint + piece
        else:
            parts.append(piece)
    return parts


class _Sentence:
    """One sentence of the book, and the text that it is looked for by."""

    def __init__(self, english: str, other: str) -> None:
        self.other = other
        self._literal = max((text for text, _ in _places(english)), key=len)
        self._length = sum(len(text) for text, _ in _places(english))
        self._pattern = re.compile("".join(_expression(english)), re.DOTALL)

    def rank(self) -> int:
        """The one with the most words of its own is tried first."""
        return -self._length

    def values_of(self, text: str) -> dict[str, str] | None:
        """What stands in the places of a text, None where it is another sentence, or several."""
        found = self._pattern.fullmatch(text) if self._literal in text else None
        values = {} if found is None else found.groupdict()
        return None if found is None or any(map(_SENTENCES.search, values.values())) else values


def _places(english: str) -> Iterator[tuple[str, str | None]]:
    """The words of a sentence, each with the name of the place behind them."""
    for text, name, _, _ in string.Formatter().parse(english):
        yield text, name


def _expression(english: str) -> Iterator[str]:
    """The parts of what finds such a sentence: a place that comes again holds the same."""
    seen = set()
    for text, name in _places(english):
        yield re.escape(text)
        if name in seen:
            yield f"(?P={name})"
        elif name:
            seen.add(name)
            yield f"(?P<{name}>{_TAKE.get(name[:2], '.+?')})"
