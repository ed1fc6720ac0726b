"""Signals that end a command: it unwinds, and leaves no draft and no worker.

A signal is raised as an exception where the command stands. Python drops what is raised where nothing can catch it, as
in its own hooks around a fork; that is raised once more a moment later.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

_AGAIN_S = 0.01


class Ended(BaseException):
    """The process was terminated."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Ended` inside the block, once; only the main thread can have it so.

    So does a failure on the way out, such as of a pool whose workers are gone: it is the signal that ended the command.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    received: list[int] = []

    def end(number: int, _frame: object) -> None:
        received.append(number)
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with _raised_again():
            yield
    except Exception as failure:
        if received:
            raise Ended(received[0]) from failure
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _raised_again() -> Iterator[None]:
    """An end that Python dropped is raised again; what else it drops is told as before."""
    dropped: list[BaseException] = []

    def note(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, Ended | KeyboardInterrupt):
            dropped.append(unraisable.exc_value)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            hook(unraisable)

    def again(_number: int, _frame: object) -> None:
        if dropped:
            raise dropped.pop()

    hook, alarm = sys.unraisablehook, signal.signal(signal.SIGALRM, again)
    sys.unraisablehook = note
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.unraisablehook = hook
        signal.signal(signal.SIGALRM, alarm)
