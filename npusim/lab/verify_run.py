"""Running a recorded command again, and comparing what comes out with what lies beside its manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

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
_MOST_OF_MESSAGE = 4096
_KEYS = ("npusim", "code_sha256", "git", "seed", "configs", "libraries")
_REQUIRED = ("argv", "configs", "libraries", "npusim")
_VOLATILE = ("manifest", "files", "sim_seconds", "registered", "sha256")
"""Keys of an answer that say when, where and how fast it was made."""
_MOST_WRITTEN = 2**30
"""Bytes of a file that a recorded command may write."""
_START = """
import json, os, resource, sys
most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
here = os.getcwd()
sys.path[:] = json.loads(sys.argv.pop(1))
os.chdir(sys.prefix)
import matplotlib
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


def verify_recorded(path: Path, replayed: Replayed, minutes: float) -> Verified:
    """Run the command of a manifest (or of the folder that holds it), or of an answer saved from `--json`, again.

    minutes: after which it is ended. Raises UserError.
    """
    path = path / MANIFEST if is_folder(path) else path
    saved = read_json(path)
    if not isinstance(saved, dict):
        raise UserError(str(path), "", "is no manifest; give a manifest.json as npusim wrote it")
    is_answer = isinstance(saved.get("manifest"), dict)
    record = _record(path, saved["manifest"] if is_answer else saved)
    left: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="npusim-verify-") as scratch:
        words, out = replayed(record["argv"], Path(scratch))
        _require_recorded(path, words, record, Path(scratch))
        if out is None and not is_answer:
            reason = "the command wrote no folder; give the whole answer that --json printed"
            raise UserError(str(path), "argv", reason)
        if is_answer or out is None:
            fresh = json_tree(_run([*words, "--json"], Path(scratch), minutes), str(path))
            keys = [key for key in dict.fromkeys((*saved, *fresh)) if key not in _VOLATILE]
            alike = {key: saved.get(key) == fresh.get(key) for key in keys}
            now = fresh["manifest"]
        else:
            _run(words, Path(scratch), minutes)
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

    Of several architectures each has a folder with a manifest of its own, beneath that of their comparison.
    """
    own = path.resolve().parent
    inner = is_file(out / own.name / MANIFEST) and not is_file(own / own.name / MANIFEST)
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
    return [(sheet.title, list(sheet.rows)) for sheet in sheets(path) if sheet.title != _MANIFEST_SHEET]


def _require_recorded(path: Path, words: Sequence[str], record: Mapping[str, Any], scratch: Path) -> None:
    """Raises UserError where a file that the command names is not, by its SHA-256, one that was recorded."""
    known = {file["sha256"] for file in record["configs"]}
    for name in (part for word in words for part in word.rpartition("=")[2].split(",")):
        file = Path(name)
        if not file.suffix or file.is_relative_to(scratch) or not is_file(file):
            continue
        digest = hashlib.sha256(read_bytes(file, _MOST_WRITTEN)).hexdigest()
        if digest not in known:
            reason = f"has the SHA-256 {digest[:12]}..., which is none of those recorded; give the recorded file"
            raise UserError(str(path), name, reason)


def _run(words: Sequence[str], scratch: Path, minutes: float) -> str:
    """What the command prints. Raises UserError where it ends in a mistake, such as a file that is not here."""
    package = str(Path(__file__).resolve().parents[2])
    here = os.getcwd()
    entries = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]
    installed = json.dumps(list(dict.fromkeys((*entries, package))))
    start = [sys.executable, "-I", "-c", _START, str(_MOST_WRITTEN), installed]
    told, messages = scratch / "stdout", scratch / "stderr"
    location, command = "the recorded command", " ".join(words)
    with told.open("wb") as out, messages.open("wb") as err:
        try:
            code = _ended([*start, *words], out, err, minutes)
        except (OSError, ValueError) as error:
            reason = f"cannot be run ({error}); give a manifest as npusim wrote it"
            raise UserError(location, command, reason) from error
    if code is None:
        raise UserError(location, command, f"was ended after {minutes:g} minutes; give it more with --minutes")
    if code != 0:
        with aside():
            said = read_bytes(messages, _MOST_WRITTEN)[-_MOST_OF_MESSAGE:]
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        mend = "run verify-run in the folder that holds the files of the command"
        raise UserError(location, command, f"fails now: {(last or ['no message'])[0]}; {mend}")
    with aside():
        return read_text(told, _MOST_WRITTEN)


def _ended(command: Sequence[str], out: IO[bytes], err: IO[bytes], minutes: float) -> int | None:
    """The exit code of a process, None where it did not end in time; nothing that it began outlives this call."""
    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
    try:
        return started.wait(60.0 * minutes)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(OSError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


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
