"""Verifying an evidence folder: every byte that is not as it was sealed is named."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
    SIGNATURE,
    Entry,
    examined_chain,
    head_of,
)
from npusim.lab.evidence.keys import wrong_signature


@dataclass(frozen=True)
class EvidenceFinding:
    """place: a file of the folder; reason: what is wrong with it."""

    place: str
    reason: str


@dataclass(frozen=True)
class VerifiedEvidence:
    """entries: of the chain as far as it holds; wrong: all that is not as it was sealed; by_key: whether the key was
    given that the signature must be of."""

    folder: Path
    entries: tuple[Entry, ...]
    wrong: tuple[EvidenceFinding, ...]
    sealed: bool
    signed: bool
    by_key: bool

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong. A folder that is not sealed, or not signed by a key that the reader has, may lack
        entries at its end all the same."""
        return not self.wrong

    @property
    def head(self) -> str:
        """Of the chain as far as it holds."""
        return head_of(list(self.entries))

    @property
    def environments(self) -> list[dict[str, str]]:
        """What was told of the machine and its surroundings."""
        return [dict(entry.content["environment"]) for entry in self.entries if entry.kind == ENVIRONMENT]

    def as_dict(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "sealed": self.sealed,
            "signed": self.signed,
            "signer_checked": self.by_key,
            "wrong": [vars(each) for each in self.wrong],
            "head": self.head,
            "files": [
                {"file": entry.content["path"], "bytes": entry.content["bytes"], "sha256": entry.content["sha256"]}
                for entry in self.entries if entry.kind == FILE
            ],
            "environment": self.environments,
        }  # fmt: skip


def verify_folder(folder: Path, public: Path | None) -> VerifiedEvidence:
    """Verify a folder, with the public key of who must have signed it. Raises UserError where there is none."""
    if not is_folder(folder):
        raise UserError(str(folder), "", "no such folder; give an evidence folder")
    entries, broken = examined_chain(folder)
    wrong = [EvidenceFinding(CHAIN, reason) for reason in broken]
    wrong += _files(folder, entries)
    sealed = bool(entries) and entries[-1].kind == SEAL
    signed = os.path.lexists(folder / SIGNATURE)
    if signed:
        reason = wrong_signature(folder, head_of(entries), public)
        wrong += [EvidenceFinding(SIGNATURE, reason)] if reason else []
    elif public is not None:
        wrong.append(EvidenceFinding(SIGNATURE, "is missing"))
    if signed and not sealed and not broken:
        wrong.append(EvidenceFinding(CHAIN, "is signed but not sealed: its end was cut off"))
    return VerifiedEvidence(folder, tuple(entries), tuple(wrong), sealed, signed, signed and public is not None)


def _files(folder: Path, entries: list[Entry]) -> Iterator[EvidenceFinding]:
    """Files that were changed or removed, and what no entry tells of."""
    told = {f"{FILES}/{entry.content['path']}": entry for entry in entries if entry.kind == FILE}
    there = {path.relative_to(folder).as_posix(): path for path in _all(folder)}
    for name, entry in told.items():
        path = there.get(name)
        if path is None:
            yield EvidenceFinding(name, "was removed")
        elif path.is_symlink() or not is_file(path):
            yield EvidenceFinding(name, "is no regular file any more")
        else:
            content = read_bytes(path, MOST_BYTES)
            if hashlib.sha256(content).hexdigest() != entry.content["sha256"]:
                size = f", {len(content):,} bytes instead of {entry.content['bytes']:,}"
                yield EvidenceFinding(name, f"was changed{size if len(content) != entry.content['bytes'] else ''}")
            elif len(content) != entry.content["bytes"]:
                yield EvidenceFinding(name, "has another size than its entry tells")
    holders = {str(parent) for name in told for parent in Path(name).parents}
    for name, path in there.items():
        is_holder = is_folder(path) and not path.is_symlink() and name in (*holders, FILES)
        if name not in told and name not in (CHAIN, SIGNATURE) and not is_holder:
            yield EvidenceFinding(name, "was added: no entry tells of it")


def _all(folder: Path) -> list[Path]:
    found = list(itertools.islice(folder.rglob("*"), 2 * MOST_FILES + 1))
    if len(found) > 2 * MOST_FILES:
        raise UserError(str(folder), "", "holds more files than evidence can; give an evidence folder")
    return sorted(found)
