"""Running a recorded command again, and comparing what comes out with what lies beside its manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.explore.sweep.store import PARTS
from npusim.inputs import aside, is_file, is_folder, read_bytes, read_text
from npusim.inputs.json_text import json_tree, read_json
from npusim.inputs.workbook import sheets
from npusim.publish import MANIFEST

TABLES = (".csv", ".json", ".parquet", ".yaml", ".md")
"""Files of a run that are compared byte by byte. Pictures are drawn from them, in the fonts of a machine."""
WORKBOOK = ".xlsx"
"""Workbooks are compared cell by cell, but for the sheet that holds their manifest."""
PAGE = ".html"
"""Pages are compared up to the manifest at their end."""
_MANIFEST_HEADING = '<h2 id="manifest">'
_MANIFEST_SHEET = "Manifest"
_MOST_OF_MANIFEST = 2**20
"""Bytes by which a recorded page may be longer than the fresh one and still hold the same."""
_KEYS = ("npusim", "code_sha256", "git", "seed", "configs", "libraries")
_REQUIRED = ("argv", "configs", "libraries", "npusim")
_VOLATILE = ("manifest", "files", "sim_seconds", "registered", "sha256")
"""Keys of an answer that say when, where and how fast it was made."""
_START = """
import json, os, sys
here = os.getcwd()
sys.path[:] = json.loads(sys.argv.pop(1))
os.chdir(sys.prefix)
import matplotlib, numba
os.chdir(here)
from npusim.cli.main import main
sys.exit(main())
"""
"""Only installed code is run, and settings that libraries look for in the current folder are passed over."""

Replayed = Callable[[Sequence[str], Path], tuple[Sequence[str], Path | None]]
"""(recorded words, scratch folder) -> words whose outputs are in the scratch folder, the folder of results there."""


@dataclass(frozen=True)
class Verified:
    """same, different: files (or keys of the answer) that were compared; changed: what is not as it was recorded;
    not_compared: files of which a run of the same code on another machine can differ."""

    command: tuple[str, ...]
    same: tuple[str, ...]
    different: tuple[str, ...]
    changed: tuple[str, ...]
    not_compared: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.different

    def as_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, **vars(self)}


def verify_recorded(path: Path, replayed: Replayed) -> Verified:
    """Run the command of a manifest, or of an answer saved from `--json`, again. Raises UserError."""
    saved = read_json(path)
    if not isinstance(saved, dict):
        raise UserError(str(path), "", "is no manifest; give a manifest.json as npusim wrote it")
    is_answer = isinstance(saved.get("manifest"), dict)
    record = _record(path, saved["manifest"] if is_answer else saved)
    left: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="npusim-verify-") as scratch:
        words, out = replayed(record["argv"], Path(scratch))
        if out is None and not is_answer:
            reason = "the command wrote no folder; give the whole answer that --json printed"
            raise UserError(str(path), "argv", reason)
        if is_answer or out is None:
            fresh = json_tree(_run([*words, "--json"]), str(path))
            keys = [key for key in dict.fromkeys((*saved, *fresh)) if key not in _VOLATILE]
            alike = {key: saved.get(key) == fresh.get(key) for key in keys}
            now = fresh["manifest"]
        else:
            _run(words)
            alike, now = _compared(path, out)
            left = tuple(str(file.relative_to(out)) for file in _files(out, compared=False))
    same, different = (tuple(key for key, holds in alike.items() if holds is wanted) for wanted in (True, False))
    return Verified(tuple(record["argv"]), same, different, tuple(_changed(record, now)), left)


def _record(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the keys that are needed, also as earlier versions wrote it. Raises UserError."""
    for key in _REQUIRED:
        if key not in record:
            raise UserError(str(path), key, "the key is missing; give a manifest.json as npusim wrote it")
    argv, files, libraries = record["argv"], record["configs"], record["libraries"]
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise UserError(str(path), "argv", "is no list of words; give a manifest.json as npusim wrote it")
    if not isinstance(libraries, dict):
        raise UserError(str(path), "libraries", "is no map; give a manifest.json as npusim wrote it")
    for index, file in enumerate(files if isinstance(files, list) else [None]):
        if not isinstance(file, dict) or not all(isinstance(file.get(key), str) for key in ("file", "sha256")):
            reason = "lacks file or sha256; give a manifest.json as npusim wrote it"
            raise UserError(str(path), f"configs.{index + 1}", reason)
    return dict(record)


def _compared(path: Path, out: Path) -> tuple[dict[str, bool], dict[str, Any]]:
    """Whether each file of the fresh folder is as the recorded one, and the fresh manifest.

    Of several architectures each has a folder with a manifest of its own.
    """
    own = path.resolve().parent
    inner = not is_file(out / MANIFEST) and is_file(out / own.name / MANIFEST)
    fresh, recorded = (out / own.name / MANIFEST, own.parent) if inner else (out / MANIFEST, own)
    if not is_folder(out):
        raise UserError(str(path), "argv", "the command writes no folder; nothing can be compared")
    alike = {str(file.relative_to(out)): _alike(file, recorded / file.relative_to(out)) for file in _files(out)}
    with aside():
        return alike, read_json(fresh) if is_file(fresh) else {}


def _files(folder: Path, compared: bool = True) -> Iterator[Path]:
    """Results of a run that are compared, or those that are not."""
    for file in sorted(folder.rglob("*")):
        kept_for_later = PARTS in file.relative_to(folder).parts
        is_result = is_file(file) and file.name != MANIFEST and not kept_for_later
        if is_result and (file.suffix in (*TABLES, WORKBOOK, PAGE)) is compared:
            yield file


def _alike(fresh: Path, recorded: Path) -> bool:
    """Whether the recorded file holds the same; one that cannot be read does not."""
    try:
        if fresh.suffix == WORKBOOK:
            with aside():
                made = _cells(fresh)
            return made == _cells(recorded)
        limit = fresh.stat().st_size + 1
        if fresh.suffix == PAGE:
            return _body(fresh, limit + _MOST_OF_MANIFEST) == _body(recorded, limit + _MOST_OF_MANIFEST)
        return read_bytes(fresh, limit) == read_bytes(recorded, limit)
    except UserError:
        return False


def _body(page: Path, limit: int) -> str:
    """A page without its manifest."""
    return read_text(page, limit).partition(_MANIFEST_HEADING)[0]


def _cells(path: Path) -> list[tuple[str, list[Any]]]:
    return [(name, list(rows)) for name, rows in sheets(path) if name != _MANIFEST_SHEET]


def _run(words: Sequence[str]) -> str:
    """What the command prints. Raises UserError where it ends in a mistake, such as a file that is not here."""
    package = str(Path(__file__).resolve().parents[2])
    here = os.getcwd()
    entries = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]
    code = [sys.executable, "-I", "-c", _START, json.dumps(list(dict.fromkeys((*entries, package))))]
    done = subprocess.run([*code, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        mend = "run verify-run in the folder that holds the files of the command"
        raise UserError("the recorded command", " ".join(words), f"fails now: {last[0]}; {mend}")
    return done.stdout


def _changed(recorded: Mapping[str, Any], fresh: Mapping[str, Any]) -> Iterator[str]:
    """What of version, code, git state, seed, files and libraries is not as it was recorded."""
    for key in _KEYS:
        told = _difference(recorded[key], fresh.get(key)) if key in recorded and recorded[key] != fresh.get(key) else ""
        if told:
            yield f"{key}: {told}"


def _difference(before: Any, after: Any) -> str:
    """The parts of two values that differ; of files the names. Earlier manifests list fewer files, without folders."""
    if isinstance(before, dict) and isinstance(after, dict):
        parts = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return ", ".join(f"{name} {before.get(name)} -> {after.get(name)}" for name in parts)
    if isinstance(before, list) and isinstance(after, list):
        told_by_folder = any("folder" in file for file in before)
        if not told_by_folder:
            after = [{"file": file["file"], "sha256": file["sha256"]} for file in after]
        was, now = ({(_name(file), file["sha256"]) for file in files} for files in (before, after))
        names = {name for name, _ in was}
        return ", ".join(sorted({name for name, _ in was ^ now if told_by_folder or name in names}))
    return f"{before} -> {after}"


def _name(file: Mapping[str, str]) -> str:
    return f"{file['folder']}/{file['file']}" if "folder" in file else file["file"]
