"""The chain of an evidence folder: a line an entry, each with the SHA-256 of the line before it.

Lines are canonical JSON (RFC 8785 for what is used here: sorted keys, no blanks, no floats), so that a content has one
spelling and any changed byte another hash. A hash chain shows what was changed inside; that nothing was cut off its end
a seal shows, and a signature whose seal it was (Haber, Stornetta 1991, Journal of Cryptology 3(2)).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs import is_file, read_bytes
from npusim.inputs.json_text import json_tree

CHAIN, FILES, SIGNATURE = "chain.jsonl", "files", "signature.json"
"""Names in an evidence folder."""
FORMAT = "npusim evidence 1"
GENESIS = "0" * 64
"""What the first entry has in place of a hash."""
FILE, ENVIRONMENT, SEAL = "file", "environment", "seal"
"""Kinds of entries."""
MOST_BYTES = 2**30
"""Size in bytes of a raw file, or of a chain."""
MOST_FILES = 10_000
"""Files that are added at once, or lie in an evidence folder."""
_KEYS = {
    FILE: ("bytes", "date", "format", "kind", "number", "path", "previous", "sha256"),
    ENVIRONMENT: ("date", "environment", "format", "kind", "number", "previous"),
    SEAL: ("date", "entries", "format", "kind", "number", "previous"),
}
"""Keys of each kind of entry, all of which it has."""


@dataclass(frozen=True)
class Entry:
    """line: its bytes, without the line feed; content: what they say."""

    line: bytes
    content: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.line).hexdigest()

    @property
    def kind(self) -> str:
        return str(self.content["kind"])


def canonical(content: Mapping[str, Any]) -> bytes:
    """The one spelling of a content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def head_of(entries: list[Entry]) -> str:
    """What the next entry has as its previous hash."""
    return entries[-1].sha256 if entries else GENESIS


def next_entry(entries: list[Entry], kind: str, date: str, content: Mapping[str, Any]) -> Entry:
    """An entry that follows the others."""
    place = {"format": FORMAT, "number": len(entries) + 1, "previous": head_of(entries)}
    whole = {**place, "kind": kind, "date": date, **content}
    return Entry(canonical(whole), whole)


def chain_bytes(entries: list[Entry]) -> bytes:
    """The content of the chain's file."""
    return b"".join(entry.line + b"\n" for entry in entries)


def read_chain(folder: Path) -> list[Entry]:
    """A chain that holds. Raises UserError at the first line that does not."""
    entries, wrong = examined_chain(folder)
    if wrong:
        raise UserError(str(folder / CHAIN), "", f"{wrong[0]}; give the folder as it was written")
    return entries


def examined_chain(folder: Path) -> tuple[list[Entry], list[str]]:
    """The entries of a chain as far as it holds, and what is wrong with it. Raises UserError where there is none."""
    path = folder / CHAIN
    if not is_file(path):
        raise UserError(str(folder), "", f"holds no {CHAIN}; npusim evidence add begins one")
    content = read_bytes(path, MOST_BYTES)
    entries: list[Entry] = []
    lines = content.split(b"\n")
    if lines.pop() != b"" or not lines:
        return entries, [f"{CHAIN} is cut, or has bytes after its last line"]
    for number, line in enumerate(lines, start=1):
        told = spelled(line)
        wrong = "is no canonical JSON" if told is None else _wrong(told, number, head_of(entries))
        if told is None or wrong:
            return entries, [f"line {number} of {CHAIN} {wrong}"]
        if entries and entries[-1].kind == SEAL:
            return entries, [f"line {number} of {CHAIN} follows the seal"]
        entries.append(Entry(line, told))
    return entries, []


def spelled(line: bytes) -> dict[str, Any] | None:
    """What a line says, None where it is not the one spelling of an object."""
    try:
        content = json_tree(line.decode("utf-8"), CHAIN)
        return content if isinstance(content, dict) and canonical(content) == line else None
    except (ValueError, UserError):
        return None


def _wrong(content: Mapping[str, Any], number: int, previous: str) -> str:
    """What is wrong with a line of that content, "" where it holds."""
    if content.get("format") != FORMAT or content.get("number") != number:
        return f"is no entry {number} of '{FORMAT}'"
    if content.get("previous") != previous:
        return "does not follow the line before it: one of both was changed"
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS or tuple(sorted(content)) != _KEYS[kind]:
        return "has other keys than entries have"
    if kind == SEAL and content["entries"] != number - 1:
        return "seals another number of entries"
    return ""
