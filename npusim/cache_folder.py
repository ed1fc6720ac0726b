"""The folder in which npusim keeps what it would otherwise work out again in each process.

A service account, or a foreign user in a container, has no home that can be written: a temporary folder of this user
alone then stands for the user's cache folder. What is kept may be code that is run, so a folder that others can write
is never taken.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """`npusim` in the user's cache folder, or in a temporary one; where neither can be written, nothing is kept.

    Libraries that draw keep their lists of fonts in the temporary one too, and say nothing of it.
    """
    own = _own_base()
    if own is not None and can_be_written(own / "npusim"):
        return own / "npusim"
    private = Path(tempfile.gettempdir()) / f"npusim-{os.geteuid()}" if _has_temporary_folder() else None
    if private is None or not can_be_written(private, alone=True):
        return (own or Path(os.devnull)) / "npusim"
    os.environ["XDG_CACHE_HOME"] = str(private)
    os.environ.setdefault("MPLCONFIGDIR", str(private / "matplotlib"))
    return cache_folder()


def keep(file: Path, content: str) -> bool:
    """Writes a file of the cache as a whole or not at all; False where that cannot be.

    What could not be kept is worked out again by the next process.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("x", encoding="utf-8") as text:
            text.write(content)
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        return False
    return True


def _own_base() -> Path | None:
    """The user's cache folder, None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None


def _has_temporary_folder() -> bool:
    try:
        return bool(tempfile.gettempdir())
    except OSError:
        return False


def can_be_written(folder: Path, alone: bool = False) -> bool:
    """Whether files can be made in `folder`, itself made where it is not there. alone: and by nobody but this user."""
    try:
        folder.mkdir(mode=stat.S_IRWXU if alone else 0o777, parents=True, exist_ok=True)
        found = folder.lstat() if alone else folder.stat()
    except OSError:
        return False
    foreign = found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and not (alone and foreign) and os.access(folder, os.W_OK | os.X_OK)
