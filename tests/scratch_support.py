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

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`npusim WORDS` of the copy; its compiled kernels are kept in the copy."""
        environment = os.environ | {"PYTHONPATH": str(self.root), "XDG_CACHE_HOME": str(self.root / "cache")}
        environment.pop("NUMBA_CACHE_DIR", None)
        command = [sys.executable, "-m", "npusim", *words]
        return subprocess.run(command, cwd=self.work, capture_output=True, text=True, env=environment)

    def replace(self, file: str, old: str, new: str) -> None:
        """Write `new` where `old` stands in a file of the copy, once."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} holds {text.count(old)} times: {old}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def changed(self) -> set[str]:
        """Files of the copied folders that are new, or not as they were."""
        files = (path for path in self.root.rglob("*") if path.is_file() and "cache" not in path.parts)
        names = {path.relative_to(self.root).as_posix() for path in files if "__pycache__" not in path.parts}
        return {name for name in names if not _same(ROOT / name, self.root / name)}


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


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
