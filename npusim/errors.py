"""A user's mistake, told in one line that names the place, the key and the mend."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in what the user gave: the command line prints it as one line and exits with 2.

    place: file (with line where known) or command-line option; key: dotted path of the offending value, or "";
    message: what is wrong and how to mend it.
    """

    def __init__(self, place: str, key: str, message: str) -> None:
        self.place, self.key, self.message = place, key, " ".join(message.split())
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.place}: {self.key}" if self.key else self.place
        return f"{where}: {self.message}"


class DoesNotFit(UserError):
    """A model that the memory of the chosen cards cannot hold.

    cards_needed: smallest number of cards that would hold it, or None where no number does.
    """

    def __init__(self, place: str, message: str, cards_needed: int | None) -> None:
        super().__init__(place, "", message)
        self.cards_needed = cards_needed
