"""A scratch copy of the package, to which a test adds something, and its command line in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_COPIED = ("npusim", "arch_configs", "workloads", "validation/sources.yaml")


@dataclass(frozen=True)
class Scratch:
    """root: of the copy; work: an empty folder beside it from which commands run."""

    root: Path
    work: Path

    def environment(self) -> dict[str, str]:
        """That of a process in which the copy is npusim; compiled kernels are kept beside it."""
        kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        return kept | {"PYTHONPATH": str(self.root), "XDG_CACHE_HOME": str(self.work / "cache")}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`npusim WORDS` of the copy."""
        command = [sys.executable, "-m", "npusim", *words]
        return subprocess.run(command, cwd=self.work, capture_output=True, text=True, env=self.environment())

    def replace(self, file: str, old: str, new: str) -> None:
        """Write `new` where `old` stands in a file of the copy, once."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} holds {text.count(old)} times: {old}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def contents(self) -> dict[str, bytes]:
        """Every file of the copy by its path from the root."""
        files = (path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}

    def changed(self) -> set[str]:
        """Files of the copy that are new, or not as they were."""
        return {name for name, content in self.contents().items() if not _holds(ROOT / name, content)}


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def scratch_copy(folder: Path) -> Scratch:
    """A copy of the package and its data in `folder`."""
    root, work = folder / "copy", folder / "work"
    work.mkdir(parents=True)
    for name in _COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    return Scratch(root, work)
