"""Numba with a cache that no stale kernel survives: its folder is named after the sources of all compiled code.

Numba's own cache compares the file of the function that is called, not those of the functions that it calls.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numba

from npusim.cache_folder import cache_folder

_PACKAGE = Path(__file__).parent
_COMPILED_PARTS = ("dtypes.py", "hardware", "mapping", "kernels", "engine")
_KEPT_FOLDERS = 3
_INNER: dict[str, Any] = {"cache": True, "forceinline": True, "_nrt": False}


def _source_hash() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for part in _COMPILED_PARTS:
        path = _PACKAGE / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(_PACKAGE)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _use_own_cache() -> None:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    root = cache_folder()
    own = root / f"kernels-{_source_hash()}"
    if not own.is_dir():
        older = sorted(root.glob("kernels-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in older[_KEPT_FOLDERS - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)
    numba.config.CACHE_DIR = str(own)  # type: ignore[attr-defined]


_use_own_cache()


def kernel(function: Any) -> Any:
    """Compile `function` in nopython mode; the result is kept on disk."""
    return numba.njit(cache=True)(function)


def inner_kernel(function: Any) -> Any:
    """As `kernel`, for the small steps of a loop that make no arrays: they are compiled into their caller.

    References to the caller's arrays are not counted there (numba: `forceinline`, `_nrt`); a call and its counting
    would take longer than the steps themselves.
    """
    return numba.njit(**_INNER)(function)
