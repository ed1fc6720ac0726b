"""The manifest of a result: what made it, so that it can be made again bit for bit.

It holds no time, host name or folder: the same command on the same files gives the same manifest.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from npusim import __version__

LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "simpy", "pandas", "pydantic", "pint", "ruamel.yaml")

_PACKAGE = Path(__file__).resolve().parent
_PARTS_OF_A_CHECKOUT = ("npusim", "arch_configs", "workloads")
_GIT_PATIENCE_S = 10


def build_manifest(
    argv: Sequence[str], seed: int | None, configs: Iterable[Path], extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest of one command as plain JSON values.

    argv: words after `npusim`; of an absolute path only the last part is kept. configs: files that the result was
    read from, told by file name and SHA-256. extra: further keys.
    """
    return {
        "npusim": __version__,
        "git": _git_state(_PACKAGE),
        "seed": seed,
        "argv": [_without_folders(word) for word in argv],
        "configs": [_fingerprint(path) for path in dict.fromkeys(Path(config).resolve() for config in configs)],
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
            "architecture": platform.machine(),
        },
        "libraries": {name: _library_version(name) for name in LIBRARIES},
        **(extra or {}),
    }


def _fingerprint(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


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
