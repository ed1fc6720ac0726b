"""Numba with a cache that no stale kernel survives: its folder is named after the sources of all compiled code.

Numba's own cache compares the file of the function that is called, not those of the functions that it calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

from npusim.cache_folder import cache_folder, can_be_written

_PACKAGE = Path(__file__).parent
_COMPILED_PARTS = ("dtypes.py", "hardware", "mapping", "kernels", "engine")
_KEPT_FOLDERS = 3
_INNER: dict[str, Any] = {"forceinline": True, "_nrt": False}


def _source_hash() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for part in _COMPILED_PARTS:
        path = _PACKAGE / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(_PACKAGE)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _use_own_cache() -> bool:
    """Has numba keep kernels in a folder of npusim's own, or the one that the user chose; False where none is kept."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen and can_be_written(Path(chosen)):
        return True
    root = cache_folder()
    own = root / f"kernels-{_source_hash()}"
    if not own.is_dir():
        older = sorted(root.glob("kernels-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in older[_KEPT_FOLDERS - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)
    numba.config.CACHE_DIR = str(own)  # type: ignore[attr-defined]
    return can_be_written(root)


class _Kept(FunctionCache):
    """Compiled kernels on disk. One that cannot be kept, as on a full disk, is compiled again by the next process."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


_IS_KEPT = _use_own_cache()


def kernel(function: Any) -> Any:
    """Compile `function` in nopython mode; the result is kept on disk."""
    return _kept(numba.njit(function))


def inner_kernel(function: Any) -> Any:
    """As `kernel`, for the small steps of a loop that make no arrays: they are compiled into their caller.

    References to the caller's arrays are not counted there (numba: `forceinline`, `_nrt`); a call and its counting
    would take longer than the steps themselves.
    """
    return _kept(numba.njit(**_INNER)(function))


def _kept(compiled: Any) -> Any:
    if _IS_KEPT:
        compiled._cache = _Kept(compiled.py_func)
    return compiled
