"""An evidence folder: raw files under `files/`, and the chain that tells of them. Entries are only ever added."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from npusim.errors import UserError
from npusim.inputs import is_file, is_folder, read_bytes
from npusim.lab.evidence.chain import (
    CHAIN,
    ENVIRONMENT,
    FILE,
    FILES,
    MOST_BYTES,
    MOST_FILES,
    SEAL,
    Entry,
    chain_bytes,
    next_entry,
    read_chain,
)
from npusim.publish import alone_with, publish_file


def add_files(folder: Path, given: Sequence[Path], environment: dict[str, Any] | None, date: str) -> list[Entry]:
    """Copy files, and those of folders, into the evidence, and tell of them; returns the new entries.

    A name that an entry has is refused, whatever it holds. The chain is written last. environment: of the machine, None
    to tell nothing. Raises UserError.
    """
    found = list(_named(given))
    if not found and environment is None:
        raise UserError("FILE", "", "name files to add, or give --environment")
    _make(folder)
    with alone_with(folder / CHAIN, "FOLDER"):
        entries = _open_chain(folder)
        _require_new(folder, entries, found)
        new: list[Entry] = []
        if environment is not None:
            new.append(next_entry(entries, ENVIRONMENT, date, {"environment": environment}))
        for name, source in found:
            content = read_bytes(source, MOST_BYTES)
            _put(folder / FILES / name, content)
            told = {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            new.append(next_entry([*entries, *new], FILE, date, told))
        publish_file(folder / CHAIN, chain_bytes([*entries, *new]), "FOLDER")
    return new


def _require_new(folder: Path, entries: Sequence[Entry], found: Sequence[tuple[str, Path]]) -> None:
    """Raises UserError for a name that an entry has, or that is given twice."""
    known = {entry.content["path"] for entry in entries if entry.kind == FILE}
    for name, source in found:
        if name in known:
            raise UserError(str(source), "", f"{name} is in {folder} already, and evidence is never replaced")
        known.add(name)


def _put(path: Path, content: bytes) -> None:
    """A file of which no entry tells yet; one that a killed npusim left is kept where it holds the same."""
    if os.path.lexists(path):
        if path.is_symlink() or read_bytes(path, MOST_BYTES) != content:
            raise UserError(str(path), "", "is there, and no entry tells of it; remove it, or begin another folder")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    publish_file(path, content, "FOLDER")


def seal_folder(folder: Path, date: str) -> Entry:
    """End the chain: its last entry tells how many there are, and nothing can be added after it. Raises UserError."""
    if not is_file(folder / CHAIN):
        raise UserError(str(folder), "", "holds no evidence; npusim evidence add begins it")
    with alone_with(folder / CHAIN, "FOLDER"):
        entries = _open_chain(folder)
        if not entries:
            raise UserError(str(folder), "", "holds no evidence; npusim evidence add begins it")
        last = next_entry(entries, SEAL, date, {"entries": len(entries)})
        publish_file(folder / CHAIN, chain_bytes([*entries, last]), "FOLDER")
    return last


def _make(folder: Path) -> None:
    """The folder, where it is not there; one that holds something else is refused."""
    if is_folder(folder) and not is_file(folder / CHAIN) and any(not is_folder(each) for each in folder.rglob("*")):
        raise UserError(str(folder), "", "holds other files and no evidence; give a new or an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(str(folder), "", f"cannot be made ({error.strerror}); give another folder") from error


def _open_chain(folder: Path) -> list[Entry]:
    """The entries to which others can be added; none of a chain that is empty yet. Raises UserError where it is broken,
    or sealed."""
    if not (folder / CHAIN).stat().st_size:
        return []
    entries = read_chain(folder)
    if entries[-1].kind == SEAL:
        raise UserError(str(folder), CHAIN, "is sealed, and takes no more entries; begin another folder")
    return entries


def _named(given: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Each file with its name in the evidence: of a folder, below the folder's own name."""
    for path in given:
        if path.is_symlink():
            raise UserError(str(path), "", "is a link; give the file itself")
        if is_file(path):
            yield _name(path, path.parent), path
        elif is_folder(path):
            files = list(itertools.islice((each for each in path.rglob("*") if not is_folder(each)), MOST_FILES + 1))
            if len(files) > MOST_FILES:
                raise UserError(str(path), "", f"holds more than {MOST_FILES:,} files; give the folder of the results")
            top = path.resolve()
            for file in sorted(files):
                if file.is_symlink() or not file.resolve().is_relative_to(top):
                    raise UserError(str(file), "", "is a link; give the file itself")
                yield _name(file.resolve(), top.parent), file
        else:
            raise UserError(str(path), "", "no such file or folder; give raw files")


def _name(file: Path, above: Path) -> str:
    name = PurePosixPath(file.relative_to(above)).as_posix()
    if "\n" in name or not name.isprintable():
        raise UserError(name, "", "has a name that cannot be shown; give it another")
    return name
