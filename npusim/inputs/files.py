"""Bytes and text of a file, within a limit of size; whatever cannot be read is one line that names the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from npusim.errors import UserError
from npusim.inputs.record import noted

_MOST_BYTES = 64 * 2**20
"""Size in bytes beyond which a file is not a description, table or result, unless its reader says otherwise."""


def read_bytes(path: Path, limit: int = _MOST_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes, recorded. Raises UserError."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(str(path), "", "is no regular file; give a file")
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is no name of a file"
        raise UserError(str(path), "", f"cannot be read ({reason}); give a file") from error
    if len(content) > limit:
        raise UserError(str(path), "", f"is larger than {limit // 2**20} MiB; give a smaller file")
    noted(path, content, status)
    return content


def read_text(path: Path, limit: int = _MOST_BYTES) -> str:
    """The file as UTF-8 text, with or without a byte-order mark. Raises UserError, also for UTF-16."""
    content = read_bytes(path, limit)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(str(path), "", "is UTF-16 text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(str(path), "", f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        raise UserError(str(path), "", "holds NUL characters, which no text does; give a text file")
    return text


def is_file(path: Path) -> bool:
    """True for a file that is there; False for what is none, cannot be reached, or has no possible name."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """True for a folder that is there; False for what is none, cannot be reached, or has no possible name."""
    return os.path.isdir(path)


def _without_waiting(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
