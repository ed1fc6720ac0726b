"""The manifest of a result: what made it, so that it can be made again bit for bit.

It holds no time, host name or folder: the same command on the same files gives the same manifest.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from npusim import __version__
from npusim.inputs import InputFile

LIBRARIES = (
    "numpy",
    "numba",
    "llvmlite",
    "ml_dtypes",
    "scipy",
    "simpy",
    "pandas",
    "pydantic",
    "pint",
    "PyYAML",
    "ruamel.yaml",
)

_PACKAGE = Path(__file__).resolve().parent
_DATA = ("arch_configs", "workloads", "rules", "validation")
_PARTS_OF_A_CHECKOUT = ("npusim", "arch_configs", "workloads", "rules")
_GIT_PATIENCE_S = 10


def build_manifest(
    argv: Sequence[str],
    seed: int | None,
    files: Iterable[InputFile],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest of one command as plain JSON values.

    argv: words after `npusim`; of an absolute path only the last part is kept. files: those that the result was read
    from, as `inputs` recorded them; each is told by its name, its folder among the shipped ones, and the SHA-256 of
    what was read. extra: further keys.
    """
    return {
        "npusim": __version__,
        "code_sha256": code_sha256(),
        "git": _git_state(_PACKAGE),
        "seed": seed,
        "argv": [_without_folders(word) for word in argv],
        "configs": told_files(files, argv),
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
            "architecture": platform.machine(),
        },
        "libraries": {name: _library_version(name) for name in LIBRARIES},
        **(extra or {}),
    }


def told_files(files: Iterable[InputFile], argv: Sequence[str] = ()) -> list[dict[str, str]]:
    """The files as a manifest has them, each content once: those that `argv` names in its order, then by name."""
    asked = {Path(word).absolute(): index for index, word in reversed(list(enumerate(argv)))}
    known = {
        (asked.get(file.path, len(argv)), _shipped_folder(file.path), file.path.name, file.sha256) for file in files
    }
    return [
        {"file": name, **({"folder": folder} if folder else {}), "sha256": sha256}
        for _, folder, name, sha256 in sorted(known)
    ]


@cache
def code_sha256() -> str:
    """The SHA-256 over the names and contents of the installed package's own files, its descriptions apart."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*")):
        parts = file.relative_to(_PACKAGE).parts
        if file.is_file() and "__pycache__" not in parts and parts[0] != "data":
            digest.update("/".join(parts).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _shipped_folder(path: Path) -> str:
    """The folder of a shipped description, such as arch_configs/memories; nothing for a user's own file."""
    for root in (_PACKAGE / "data", _PACKAGE.parent):
        if path.is_relative_to(root) and (parts := path.relative_to(root).parts)[0] in _DATA:
            return "/".join(parts[:-1])
    return ""


def _without_folders(word: str) -> str:
    head, separator, value = word.partition("=") if word.startswith("-") else ("", "", word)
    parts = [Path(part).name if Path(part).is_absolute() else part for part in value.split(",")]
    return f"{head}{separator}{','.join(parts)}"


def _library_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_state(package: Path) -> dict[str, Any] | None:
    """Commit of the checkout that holds `package` and whether its code or data differ from it; None outside one."""
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    changes = _git(package.parent, "status", "--porcelain", "--", *_PARTS_OF_A_CHECKOUT)
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": changes != ""}


def _git(folder: Path, *words: str) -> str | None:
    """What git says in `folder`, None where it fails or is not there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
