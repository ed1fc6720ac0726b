"""A user's mistake, reported in one line that names the location, the key and the fix."""

from __future__ import annotations

import re
from typing import Any

_LONGEST_WORD, _LONGEST_LOCATION, _LONGEST_MESSAGE = 100, 300, 700
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class UserError(Exception):
    """A mistake in what the user gave: the command line prints it as one line and exits with 2.

    location: file (with line where known) or command-line option; key: dotted path of the offending value, or "";
    message: what is wrong and how to mend it. Long values are cut, and what no terminal shows is told as `?`.
    """

    def __init__(self, location: str, key: str, message: str) -> None:
        self.location, self.key, self.message = (
            _cut(location, _LONGEST_LOCATION),
            one_printable_line(key),
            one_printable_line(message),
        )
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.location}: {self.key}" if self.key else self.location
        return f"{where}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        """A mistake that a worker process finds reaches its parent as it is."""
        return _restored, (type(self), str(self), vars(self))


class DoesNotFit(UserError):
    """A model that the memory of the chosen cards cannot hold, or chips that cannot work under their power cap.

    cards_needed: smallest number of cards that would hold it, or None where no number does.
    """

    def __init__(self, location: str, message: str, cards_needed: int | None) -> None:
        super().__init__(location, "", message)
        self.cards_needed = cards_needed


def _restored(kind: type[UserError], text: str, state: dict[str, Any]) -> UserError:
    error = kind.__new__(kind, text)
    vars(error).update(state)
    return error


def one_printable_line(text: str) -> str:
    """One line of printable words, each of a length that can be read."""
    return _cut(" ".join(_cut(word, _LONGEST_WORD) for word in text.split()), _LONGEST_MESSAGE)


def _cut(text: str, longest: int) -> str:
    return _CONTROL.sub("?", text if len(text) <= longest else f"{text[:longest]}...")
