"""Which turn of a session waits for which, while a trace is read row by row."""

from __future__ import annotations

from array import array

from npusim.workload.arrivals import FIRST
from npusim.workload.traces.row import BadCell, TurnLink


class Links:
    """before: place of the turn before each one, FIRST for the first one of a session."""

    def __init__(self) -> None:
        self.before = array("q")
        self._places: dict[int, int] = {}
        self._followed: set[int] = set()

    def add(self, link: TurnLink) -> None:
        """The next turn. Raises BadCell where its parent is not there, or has a next turn already."""
        if link.chat in self._places:
            raise BadCell("chat_id", f"{link.chat} is that of an earlier row; give each turn a number of its own")
        before = FIRST
        if link.parent >= 0:
            found = self._places.get(link.parent)
            if found is None:
                raise BadCell("parent_chat_id", f"no earlier row has the chat_id {link.parent}; give turns in order")
            if found in self._followed:
                raise BadCell("parent_chat_id", f"another turn follows {link.parent} already; a session has one line")
            self._followed.add(found)
            before = found
        self._places[link.chat] = len(self.before)
        self.before.append(before)
