"""The folder in which npusim keeps what it would otherwise work out again in each process."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent


def cache_folder() -> Path:
    """`npusim` in the user's cache folder; beside the package where that cannot be made."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        folder = base / "npusim"
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = _PACKAGE / "__pycache__"
    return folder


def keep(file: Path, content: str) -> bool:
    """Writes a file of the cache as a whole or not at all; False where its folder cannot be written.

    What could not be kept is worked out again by the next process.
    """
    draft = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(content, encoding="utf-8")
        draft.replace(file)
    except OSError:
        return False
    return True
