"""Which files were read, with the SHA-256 of what was read: manifests and identities are made of this record."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class InputFile:
    """A file as it was read. path: absolute; sha256: of its bytes; size: in bytes."""

    path: Path
    sha256: str
    size: int


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


def noted(path: Path, content: bytes) -> InputFile:
    """Records that `path` was read and held `content`."""
    file = InputFile(path.absolute(), hashlib.sha256(content).hexdigest(), len(content))
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
    """A record of the files that are read inside the block, begun anew or gone on with; `.files` tells them."""
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


class remembered(Generic[P, R]):
    """Decorator: a loader's answers are kept, and each answer from memory records the files that it was read from."""

    def __init__(self, load: Callable[P, R]) -> None:
        self._load = load
        self._known: dict[Hashable, tuple[R, tuple[InputFile, ...]]] = {}
        update_wrapper(self, load)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (args, tuple(sorted(kwargs.items())))
        if key in self._known:
            answer, files = self._known[key]
            touch(*files)
            return answer
        with recording() as read:
            answer = self._load(*args, **kwargs)
        self._known[key] = (answer, read.files)
        return answer

    def cache_clear(self) -> None:
        """Forgets every answer."""
        self._known.clear()
