"""Where compiled kernels are kept: in a folder named after the sources of all compiled code."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from npusim.cache_folder import cache_folder, can_be_written

_PACKAGE = Path(__file__).parent
_OF_SERVING = "serving/scheduler", "serving/ttft_parts.py"
_COMPILED_PARTS = ("compilation.py", "dtypes.py", "hardware", "mapping", "kernels", "engine", *_OF_SERVING)


def chosen_folder() -> Path | None:
    """The folder that the user chose for numba's kernels, where it can be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) if chosen and can_be_written(Path(chosen)) else None


def own_folder() -> Path:
    """The folder of these sources under this numba."""
    return cache_folder() / f"kernels-{_source_hash()}"


def _source_hash() -> str:
    digest = hashlib.sha256(version("numba").encode())
    for part in _COMPILED_PARTS:
        path = _PACKAGE / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(_PACKAGE)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def is_compiled(kernel: str) -> bool:
    """Whether a kernel, by its module's last name and its own, was compiled and kept."""
    return any((chosen_folder() or own_folder()).glob(f"*/{kernel}-*.nbi"))
