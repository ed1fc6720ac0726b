"""Short commands run their kernels as plain Python: compiling them would take longer than all that they do.

Both give the same bits. A process chooses before any kernel is loaded. What may be longer than it looks has a limit of
processor time, at which the command unwinds and begins anew, compiled: until its end it has written nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from npusim.kernel_folder import is_compiled

COMPILED_VARIABLE = "NPUSIM_COMPILED"
"""Set in the environment: no command runs as plain Python."""
_COMPILED = "npusim.compilation"
_LIMIT_S = 20.0
"""About a third of what compiling takes."""
_AGAIN_S = 5.0
_LONG = {"--interval", "--engine", "--plan"}
"""Options of a step that make many of it."""
_FROM_INPUT = "-"
_wanted = False


class TakesTooLong(BaseException):
    """The limit is reached."""


def is_wanted() -> bool:
    """Whether this process runs kernels as plain Python."""
    return _wanted


@contextlib.contextmanager
def short_work(words: Sequence[str]) -> Iterator[None]:
    """Have the command of these words run as plain Python where it is worth it; raises TakesTooLong at the limit."""
    global _wanted
    _wanted = _is_short(words)
    if not _wanted:
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _LIMIT_S, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def begin_compiled() -> NoReturn:
    """The command of this process once more from its beginning, with compiled kernels."""
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {COMPILED_VARIABLE: "1"})


def _is_short(words: Sequence[str]) -> bool:
    """A step always, a certificate where the scheduler was not compiled before; not what reads standard input."""
    if _COMPILED in sys.modules or os.environ.get(COMPILED_VARIABLE) or _FROM_INPUT in words:
        return False
    if words[:1] == ["step"]:
        return not any(word.split("=")[0] in _LONG for word in words)
    return words[:1] == ["certify"] and not is_compiled("loop.go_on")


def _stop(_number: int, _frame: object) -> None:
    raise TakesTooLong
