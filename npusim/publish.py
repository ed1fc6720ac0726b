"""Writing files and folders: refused before the work where they cannot be written, and whole or absent after it.

Everything is drafted beside its target under a name that nobody can guess, which is made anew (an existing file or link
of that name is never opened), and moved into place when it is whole. A draft is locked as long as its writer lives:
what a killed writer left is removed by the next one. What is not npusim's is never replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from npusim.errors import UserError

MANIFEST = "manifest.json"
PAGE = b'<meta name="generator" content="npusim'
"""What is in every page that npusim writes."""
DRAFT = ".npusim-"
"""How the names of drafts begin."""

_MARKS = {
    MANIFEST: b'"npusim"',
    "parts/sweep.json": b'"npusim"',
    "study.db": b"SQLite format 3",
    "pim-compare.json": b'"npusim"',
    "README.md": b"Made by `npusim",
}
"""By one of these files, and what is in it, a folder of results is known as npusim's."""
_HEAD_BYTES = 1 << 16
_REPLACED = "replaced"


@dataclass(frozen=True)
class OutFolder:
    """A folder of results. names: files that are written into it; kept: they are evidence and never replaced."""

    names: tuple[str, ...]
    kept: bool = False

    def require(self, path: str, option: str) -> None:
        """Raises UserError, told of `option`, where the files cannot be written at `path`."""
        require_folder(path, self.names, option, self.kept)


@dataclass(frozen=True)
class OutFile:
    """A file of results. marks: by the ending of its name ("" for any other), what is in each file of its kind."""

    marks: Mapping[str, bytes | None]

    def require(self, path: str, option: str) -> None:
        """Raises UserError, told of `option`, where it cannot be written at `path`."""
        require_file(path, self.marks, option)


def require_folder(
    out: str | os.PathLike[str], names: Iterable[str] = (), option: str = "--out", kept: bool = False
) -> Path:
    """`out` as a folder in which `names` can be written, or a UserError told of `option`; removes drafts left there.

    Refused: a file in the way, a folder that takes no files, files of those names that are not npusim's, the manifest
    of another command's results, and, where they are `kept`, any of those files.
    """
    folder = Path(out)
    base = _folder_above(folder, option)
    _require_own(folder, names, option, kept)
    _require_room(base, folder, option)
    return folder


def _require_own(folder: Path, names: Iterable[str], option: str, kept: bool) -> None:
    """Files of those names in `folder` are npusim's and can be replaced, or a UserError."""
    asked = tuple(names)
    there = [name for name in asked if os.path.lexists(folder / name)]
    blocked = [name for name in there if _is_real_folder(folder / name) and "." in name]
    if blocked:
        raise UserError(option, blocked[0], f"{folder / blocked[0]} is a folder; remove it, or give another folder")
    if there and not any(_begins(folder / name, mark) for name, mark in _MARKS.items()):
        raise UserError(option, there[0], f"is in {folder} already and was not written by npusim; give another folder")
    if there and kept:
        raise UserError(
            option, there[0], f"is in {folder} already, and evidence is never replaced; give another folder"
        )
    if there == [MANIFEST] and len(asked) > 1:
        raise UserError(option, MANIFEST, f"in {folder} tells of other results; give another folder")


def require_file(path: str | os.PathLike[str], marks: Mapping[str, bytes | None], option: str = "--out") -> Path:
    """`path` as a file that can be written, or a UserError told of `option`; removes drafts left beside it.

    marks: how its name may end ("" stands for any other ending), and what is in files of its kind: only such a file
    is replaced, none where it is None.
    """
    file = Path(path)
    base = _nearest(file, option)
    if base == file and os.path.isdir(file):
        raise UserError(option, "", f"{file} is a folder; give the name of a file")
    ending = file.suffix.lower() if file.suffix.lower() in marks else ""
    if ending not in marks:
        raise UserError(option, "", f"{file.name} has another ending than {' or '.join(marks)}; give one of these")
    if not os.path.isdir(file.parent):
        raise UserError(option, "", f"there is no folder {file.parent}; make it, or give another")
    if os.path.lexists(file):
        mark = marks[ending]
        if mark is None:
            raise UserError(
                option, "", f"{file} is there already, and such a file is never replaced; give another name"
            )
        if not _begins(file, mark):
            raise UserError(option, "", f"{file} is there already and was not written by npusim; give another name")
    _require_room(file.parent, file, option)
    return file


def publish_file(path: Path, content: str | bytes, option: str = "--out") -> None:
    """Writes `content`; the file is whole or as it was. Raises UserError."""
    with drafted(path, option) as draft:
        draft.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def drafted(path: Path, option: str = "--out") -> Iterator[Path]:
    """A draft, empty at first, that becomes `path` when the block ends well and is gone otherwise. Raises UserError."""
    with _told_in_one_line(path, option), _draft(path.parent, _new_file) as draft:
        yield draft
        os.replace(draft, path)


def publish_folder(
    write: Callable[[Path], list[str]], out: str | os.PathLike[str], option: str = "--out", kept: bool = False
) -> list[str]:
    """Lets `write` fill a folder and moves the files that it names into `out`, all or none; returns these names.

    Files of that name in `out` are replaced, unless they are `kept`. Raises UserError where the folder or a file in it
    cannot be written.
    """
    folder = Path(out)
    base = _folder_above(folder, option)
    with _told_in_one_line(folder, option), _draft(base, _new_folder) as draft:
        names = write(draft)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            _require_own(folder, names, option, kept)
            _move(names, draft, folder, option)
    return names


def _move(names: list[str], draft: Path, out: Path, option: str) -> None:
    """The files into `out`, the manifest first: a set that a killed process left mixed is still known as npusim's."""
    ordered = sorted(names, key=lambda name: name != MANIFEST)
    begun: list[str] = []
    name = ""
    try:
        for name in ordered:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            _keep(out / name, draft / _REPLACED / name)
        for name in ordered:
            begun.append(name)
            os.replace(draft / name, out / name)
    except BaseException as error:
        for each in begun:
            _restore(draft / _REPLACED / each, out / each, draft / each)
        if isinstance(error, OSError):
            reason = f"cannot be replaced ({error.strerror}); close it where it is open, or give another folder"
            raise UserError(option, name, reason) from error
        raise


def _keep(file: Path, copy: Path) -> None:
    """A second name, or else a copy, of a file that is about to be replaced."""
    if not os.path.lexists(file):
        return
    if _is_real_folder(file):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, copy, follow_symlinks=False)
    except OSError:
        shutil.copy2(file, copy, follow_symlinks=False)


def _restore(copy: Path, file: Path, draft: Path) -> None:
    """`file` as it was before it was replaced: from its copy, or absent where it was new."""
    if os.path.lexists(copy):
        os.replace(copy, file)
    elif not os.path.lexists(draft):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_with(file: Path, option: str = "--out") -> Iterator[None]:
    """No other process goes on with `file`, made where it is not there. Raises UserError where one does."""
    with _told_in_one_line(file, option):
        handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
    try:
        if not _lock(handle, fcntl.LOCK_NB):
            raise UserError(option, "", f"another npusim works on {file}; wait for it, or give another folder")
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _draft(folder: Path, make: Callable[[Path], int]) -> Iterator[Path]:
    """A draft in `folder`, locked while the block runs, and gone after it unless it was moved."""
    draft = folder / f"{DRAFT}{secrets.token_hex(8)}"
    with _locked(folder):
        handle = make(draft)
        _lock(handle)
    try:
        yield draft
    finally:
        _remove(draft)
        os.close(handle)


def _new_file(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666)


def _new_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove(draft: Path) -> None:
    if _is_real_folder(draft):
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def _remove_left(folder: Path) -> None:
    """Removes this user's drafts whose writer is gone: nobody holds their lock."""
    with _locked(folder) as held:
        for draft in folder.glob(f"{DRAFT}*") if held else ():
            try:
                handle = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                if os.fstat(handle).st_uid == os.geteuid() and _lock(handle, fcntl.LOCK_NB):
                    _remove(draft)
            finally:
                os.close(handle)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Alone among the writers of `folder` while the block runs; False where its disk knows no locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int, flags: int = 0) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
    except OSError:
        return False
    return True


def _require_room(base: Path, target: Path, option: str) -> None:
    """A draft can be made in `base`; those that were left there are removed. Raises UserError."""
    with _told_in_one_line(target, option):
        _remove_left(base)
        with _draft(base, _new_file) as draft:
            draft.write_bytes(DRAFT.encode())


@contextlib.contextmanager
def _told_in_one_line(target: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        mend = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "give another"
        raise UserError(option, "", f"{target} cannot be written ({error.strerror or error}); {mend}") from error


def _nearest(path: Path, option: str) -> Path:
    """`path`, or the nearest folder above it that is there. Raises UserError where it can be none."""
    base = path
    try:
        while not _is_there(base):
            if os.path.islink(base):
                raise UserError(option, "", f"{base} is a link to nothing; remove it, or give another name")
            base = base.absolute().parent
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(option, "", f"{str(path)[:200]!r} cannot be written ({reason}); give another name") from error
    return base


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _folder_above(folder: Path, option: str) -> Path:
    """`folder`, or the nearest one above it that is there: drafts stand in it. Raises UserError."""
    base = _nearest(folder, option)
    if not os.path.isdir(base):
        raise UserError(option, "", f"{base} is a file; give a folder")
    return base


def _is_real_folder(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _begins(file: Path, mark: bytes) -> bool:
    """Whether the mark is in the beginning of the file."""
    if not os.path.isfile(file):
        return False
    try:
        with file.open("rb") as content:
            return mark in content.read(_HEAD_BYTES)
    except OSError:
        return False
