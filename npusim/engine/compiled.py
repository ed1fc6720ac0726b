"""Saying that kernels are being compiled, which takes a while once and is cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from npusim.engine.run import decode_run


def is_compiled() -> bool:
    """True where an earlier run has left the compiled engine in the cache."""
    folder, module = Path(str(decode_run.stats.cache_path)), decode_run.py_func.__module__.rsplit(".", 1)[-1]
    return any(folder.glob(f"{module}.decode_run-*.nbc"))


def ensure_compiled(say: Callable[[str], None]) -> None:
    """Tell the user through `say` when this run has to compile the kernels first."""
    if not is_compiled():
        say("compiling the cost kernels (once, about half a minute; later runs load them from the cache)")
