"""Which files were read, with the SHA-256 of what was read: manifests and identities are made of this record."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class InputFile:
    """A file as it was read. path: absolute; sha256: of its bytes; size: in bytes.

    state: time of the last change, size and index node, by which a change is seen without reading it again; None where
    the file was so new that a later change could bear the same time.
    """

    path: Path
    sha256: str
    size: int
    state: tuple[int, int, int] | None = field(default=None, compare=False)

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is still what was read."""
        try:
            return self.state is not None and self.state == _state(os.stat(self.path))
        except OSError:
            return False


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


_TOO_NEW_NS = 100_000_000
"""Longer than the ticks in which any file system counts time."""


@dataclass
class Recording:
    """The files that were read while it was open, each content once, in the order of the first reading."""

    _seen: dict[InputFile, None] = field(default_factory=dict)

    def add(self, *files: InputFile) -> None:
        self._seen.update(dict.fromkeys(files))

    @property
    def files(self) -> tuple[InputFile, ...]:
        return tuple(self._seen)


_process = Recording()
_open = [_process]


def noted(path: Path, content: bytes, status: os.stat_result) -> InputFile:
    """Records that `path` was read and held `content`; status: of the file when it was opened."""
    old = time.time_ns() - status.st_mtime_ns > _TOO_NEW_NS
    digest = hashlib.sha256(content).hexdigest()
    file = InputFile(path.absolute(), digest, len(content), _state(status) if old else None)
    touch(file)
    return file


def touch(*files: InputFile) -> None:
    """Records files anew whose content is used again from a cache."""
    for each in _open:
        each.add(*files)


def opened() -> tuple[InputFile, ...]:
    """Every file that this process has read."""
    return _process.files


@contextlib.contextmanager
def recording(into: Recording | None = None) -> Iterator[Recording]:
    """A record of the files that are read inside the block, begun anew or gone on with; `.files` lists them."""
    inside = Recording() if into is None else into
    _open.append(inside)
    try:
        yield inside
    finally:
        _open[:] = [each for each in _open if each is not inside]


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Files that are read inside the block, only to look for a name in them, are no inputs: they are not recorded."""
    kept, _open[:] = _open[:], []
    try:
        yield
    finally:
        _open[:] = kept


class remembered(Generic[_P, _R]):
    """Decorator: a loader's answers are kept while the files are unchanged that each was read from.

    An answer from memory records these files again. most: answers that are kept, the oldest go; None for all.
    """

    def __init__(self, load: Callable[_P, _R], most: int | None = None) -> None:
        self._load, self._most = load, most
        self._known: dict[Hashable, tuple[_R, tuple[InputFile, ...]]] = {}
        update_wrapper(self, load)

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        key = (os.getcwd(), args, tuple(sorted(kwargs.items())))
        known = self._known.get(key)
        if known is not None and all(file.is_unchanged for file in known[1]):
            touch(*known[1])
            return known[0]
        with recording() as read:
            answer = self._load(*args, **kwargs)
        self._known[key] = (answer, read.files)
        if self._most is not None and len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return answer

    def cache_clear(self) -> None:
        """Forgets every answer."""
        self._known.clear()


def remembered_last(most: int) -> Callable[[Callable[_P, _R]], remembered[_P, _R]]:
    """As `remembered`, of the last `most` answers."""
    return lambda load: remembered(load, most)
