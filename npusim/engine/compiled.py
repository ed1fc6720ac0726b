"""Saying that kernels are being compiled, which takes a while once for each kind of chip and is cached on disk."""

from __future__ import annotations

import time
from collections.abc import Callable

from numba.core import event

_INTERVAL_S = 4.0


class _Compilations(event.Listener):
    """Tells of the first compilation, and while they go on, every few seconds how many there were."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda line: None
        self._count = 0
        self._said_at = 0.0

    def on_start(self, happened: event.Event) -> None:
        self._count += 1
        if self._count == 1:
            self.say("compiling the cost kernels (once for this kind of chip; later runs load them from the cache)")
        elif time.monotonic() - self._said_at < _INTERVAL_S:
            return
        else:
            self.say(f"compiling the cost kernels: {self._count} so far")
        self._said_at = time.monotonic()

    def on_end(self, happened: event.Event) -> None:
        pass


_COMPILATIONS = _Compilations()
event.register("numba:compile", _COMPILATIONS)


def ensure_compiled(say: Callable[[str], None]) -> None:
    """Tell the user through `say` whenever this process has to compile kernels, and how far it has come."""
    _COMPILATIONS.say = say
