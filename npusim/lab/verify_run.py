"""Running a recorded command again, and comparing what comes out with what lies beside its manifest."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.explore.sweep.store import PARTS
from npusim.inputs import aside, read_bytes
from npusim.inputs.json_text import json_tree, read_json

TABLES = (".csv", ".json", ".parquet", ".yaml")
"""Files of a run that are compared byte by byte; workbooks and pictures are drawn from them."""
_MOST_BYTES = 2**30
_MANIFEST = "manifest.json"
_KEYS = ("npusim", "git", "seed", "argv", "configs", "libraries")
_VOLATILE = ("manifest", "files", "sim_seconds", "registered", "sha256")
"""Keys of an answer that say when, where and how fast it was made."""


@dataclass(frozen=True)
class Verified:
    """same, different: files (or keys of the answer) that were compared; changed: what is not as it was recorded."""

    command: tuple[str, ...]
    same: tuple[str, ...]
    different: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.different

    def as_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, **vars(self)}


def verify_run(path: Path) -> Verified:
    """Run the command of a manifest, or of an answer saved from `--json`, again. Raises UserError."""
    saved = _read(path)
    record = saved.get("manifest", saved)
    argv = _argv(path, record)
    if "--out" in argv and "manifest" not in saved:
        return _folder(path, record, argv)
    if "manifest" not in saved:
        raise UserError(str(path), "argv", "the command wrote no folder; give the whole answer that --json printed")
    fresh = _answer(argv)
    keys = [key for key in dict.fromkeys((*saved, *fresh)) if key not in _VOLATILE]
    different = tuple(key for key in keys if saved.get(key) != fresh.get(key))
    same = tuple(key for key in keys if key not in different)
    return Verified(tuple(argv), same, different, tuple(_changed(record, fresh["manifest"])))


def _read(path: Path) -> dict[str, Any]:
    saved = read_json(path)
    if not (isinstance(saved, dict) and isinstance(saved.get("manifest", {}), dict)):
        raise UserError(str(path), "", "is no manifest; give a manifest.json as npusim wrote it")
    return saved


def _argv(path: Path, record: Mapping[str, Any]) -> list[str]:
    missing = [key for key in ("argv", "configs", "libraries", "npusim") if key not in record]
    if missing:
        raise UserError(str(path), missing[0], "the key is missing; give a manifest.json as npusim wrote it")
    kinds = {"argv": list, "configs": list, "libraries": dict, "npusim": str}
    for key, kind in kinds.items():
        if not isinstance(record[key], kind):
            raise UserError(str(path), key, f"is no {kind.__name__}; give a manifest.json as npusim wrote it")
    if not all(isinstance(word, str) for word in record["argv"]):
        raise UserError(str(path), "argv", "is no list of words; give a manifest.json as npusim wrote it")
    for number, each in enumerate(record["configs"], start=1):
        if not (isinstance(each, dict) and all(isinstance(each.get(key), str) for key in ("file", "sha256"))):
            raise UserError(str(path), f"configs.{number}", "lacks file or sha256; give a manifest.json as written")
    argv = list(record["argv"])
    if not argv or argv[0] in ("verify-run", "score"):
        raise UserError(str(path), "argv", "records no command that can be run again")
    return [piece for word in argv for piece in (word.split("=", 1) if word.startswith("--out=") else [word])]


def _folder(path: Path, record: Mapping[str, Any], argv: list[str]) -> Verified:
    """The command again into a folder of its own; its tables against those beside the manifest."""
    place = argv.index("--out") + 1
    with tempfile.TemporaryDirectory(prefix=".npusim-verify-") as folder:
        out = Path(folder) / "out"
        _run([*argv[:place], str(out), *argv[place + 1 :]])
        if not out.is_dir():
            raise UserError(str(path), "argv", "the command writes no folder; nothing can be compared")
        fresh, recorded = _beside(path, out)
        names = sorted(str(file.relative_to(out)) for file in _tables(out))
        different = [name for name in names if not _alike(out / name, recorded / name)]
        changed = list(_changed(record, read_json(fresh))) if fresh.is_file() else []
    same = [name for name in names if name not in different]
    return Verified(tuple(argv), tuple(same), tuple(different), tuple(changed))


def _beside(path: Path, out: Path) -> tuple[Path, Path]:
    """The fresh manifest that stands for `path`, and the recorded folder that stands for `out`.

    Of several architectures each has a folder with a manifest of its own.
    """
    own = path.resolve().parent
    if (out / _MANIFEST).is_file() or not (out / own.name / _MANIFEST).is_file():
        return out / _MANIFEST, own
    return out / own.name / _MANIFEST, own.parent


def _tables(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        kept_for_later = PARTS in file.relative_to(folder).parts
        if file.is_file() and file.suffix in TABLES and file.name != _MANIFEST and not kept_for_later:
            yield file


def _alike(fresh: Path, recorded: Path) -> bool:
    return recorded.is_file() and _digest(fresh) == _digest(recorded)


def _digest(path: Path) -> str:
    with aside():
        return hashlib.sha256(read_bytes(path, _MOST_BYTES)).hexdigest()


def _answer(argv: list[str]) -> dict[str, Any]:
    """What the command answers now, whatever it writes kept apart."""
    words = [*argv, *([] if "--json" in argv else ["--json"])]
    with tempfile.TemporaryDirectory(prefix=".npusim-verify-") as folder:
        if "--out" in words:
            place = words.index("--out") + 1
            words[place] = str(Path(folder) / Path(words[place]).name)
        answer: dict[str, Any] = json_tree(_run(words), "the recorded command")
    return answer


def _run(words: list[str]) -> str:
    """What the command prints. Raises UserError where it ends in a mistake, such as a file that is not here."""
    done = subprocess.run([sys.executable, "-m", "npusim", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        mend = "run verify-run in the folder that holds the files of the command"
        raise UserError("the recorded command", " ".join(words), f"fails now: {last[0]}; {mend}")
    return done.stdout


def _changed(recorded: Mapping[str, Any], fresh: Mapping[str, Any]) -> Iterator[str]:
    """What of version, git state, seed, files and libraries is not as it was, the output folder apart."""
    for key in _KEYS:
        if key == "argv" or recorded.get(key) == fresh.get(key):
            continue
        yield f"{key}: {_short(recorded.get(key), fresh.get(key))}"


def _short(before: Any, after: Any) -> str:
    """The parts of two values that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        parts = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return ", ".join(f"{name} {before.get(name)} -> {after.get(name)}" for name in parts)
    if isinstance(before, list) and isinstance(after, list):
        was, now = ({item["file"]: item["sha256"] for item in each} for each in (before, after))
        return ", ".join(name for name in {**was, **now} if was.get(name) != now.get(name))
    return f"{before} -> {after}"
