"""Numba with a cache that no stale kernel survives: its folder is named after the sources of all compiled code.

Numba's own cache compares the file of the function that is called, not those of the functions that it calls.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numba.extending
import numpy as np
from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core import types
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.runtime import rtsys

from npusim.cache_folder import can_be_written
from npusim.interpreted import is_wanted
from npusim.kernel_folder import chosen_folder, own_folder

# Before each compilation numba looks in the current folder for settings, the folder of kernels (which are code) among
# them; that folder may be what a stranger handed in.
numba.config._config_fname = ""
numba.config.reload_config()

DISABLED: bool = is_wanted() or bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]
"""True in a short command (`interpreted`), and under NUMBA_DISABLE_JIT=1 for a debugger to step through: kernels run as
plain Python, a thousand times slower."""
if DISABLED:
    # Compiled code wraps around, and says nothing of what is no number.
    np.seterr(over="ignore", invalid="ignore")
_KEPT_FOLDERS = 3
_TRIED = (0, 61), (0, 68)
"""Versions of numba of which kernels are optimised with their entries alone; with others each is on its own too."""
_INNER: dict[str, Any] = {"forceinline": True, "_nrt": False}


def _use_own_cache() -> bool:
    """Has numba keep kernels in a folder of npusim's own, or the one that the user chose; False where none is kept."""
    if chosen_folder() is not None:
        return True
    own = own_folder()
    root = own.parent
    if not own.is_dir():
        older = sorted(root.glob("kernels-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in older[_KEPT_FOLDERS - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)
    numba.config.CACHE_DIR = str(own)  # type: ignore[attr-defined]
    return can_be_written(root)


class _Kept(FunctionCache):
    """Compiled kernels on disk. One that cannot be kept, as on a full disk, is compiled again by the next process."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Numba's own first loads all that it can compile, a third of a second: what is compiled needs the runtime."""
        rtsys.initialize(target_context)
        try:
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except (OSError, EOFError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


def _record_name(record: types.Record) -> tuple[str, tuple[str]]:
    """How a record type stands in the names of compiled functions: by its fields.

    Numba numbers the records of a process. Two processes that compile a function for a record each would give both the
    same name, and a third that loads both would call one for the other.
    """
    return "Record", (hashlib.sha256(record.name.encode()).hexdigest()[:16],)


class _PartLibrary(JITCodeLibrary):
    """The code of a kernel that entries call, with that of the kernels which it calls, as it was lowered.

    Numba would optimise it and make machine code of it here and once more in every kernel above it; only what an entry
    makes of it is ever run.
    """

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class _PartCompiler(Compiler):
    """Numba's compiler, but for the machine code: what it gives is called by compiled code alone."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.flags.no_compile = True
        state.library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()

    def _compile_core(self) -> Any:
        part = super()._compile_core()
        # Numba knows a compiled function by the builtin that Python would call. This one has no address.
        name = part.fndesc.qualname
        key = _dynfunc.make_function(part.fndesc.lookup_module(), name, name, 0, part.environment, (part.library,))
        part.target_context.insert_user_function(key, part.fndesc, [part.library])
        return part._replace(entry_point=key)


_PART: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
if _TRIED[0] <= numba.version_info.short <= _TRIED[1]:
    _PART["pipeline_class"] = _PartCompiler


types.Record.mangling_args = property(_record_name)  # type: ignore[method-assign, assignment]
_IS_KEPT = _use_own_cache()


class _Record(np.void):  # type: ignore[misc]
    """A record whose fields are attributes, before those of NumPy's scalars: what they are to compiled code."""

    def __getattribute__(self, name: str) -> Any:
        own = super().__getattribute__
        return self[name] if name in own("dtype").fields else own(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def record_type(fields: Sequence[tuple[Any, ...]]) -> np.dtype[np.void]:
    """A record type for kernels, whether they are compiled or run as plain Python."""
    return np.dtype((_Record, list(fields))) if DISABLED else np.dtype(list(fields))


def entry(function: Any) -> Any:
    """Compile `function` in nopython mode, for Python to call and for other entries; the result is kept on disk."""
    return function if DISABLED else _kept(numba.njit(function))


def kernel(function: Any) -> Any:
    """A step of an entry, compiled with it and without wrappers of its own; alone, as an entry, where Python calls it.

    Where compilation is DISABLED it stays as it stands.
    """
    return _compiled_with_entries(function)


def kernel_by_record(argument: str, choose: Callable[[frozenset[str]], Any]) -> Callable[[Any], Any]:
    """A kernel that `choose` gives for the fields of the record `argument`: each record compiles its own alone.

    The function below it states the arguments and what is done; `choose` may return it where nothing else is known.
    """

    def decorate(contract: Any) -> Any:
        position = list(inspect.signature(contract).parameters).index(argument)

        @functools.wraps(contract)
        def call(*arguments: Any) -> Any:
            return _of_record(choose, arguments[position].dtype)(*arguments)

        _compile_as(call, lambda *types: inspect.unwrap(choose(frozenset(types[position].fields))))
        return call

    return decorate


@functools.cache
def _of_record(choose: Callable[[frozenset[str]], Any], dtype: np.dtype[np.void]) -> Any:
    return choose(frozenset(dtype.names or ()))


def _compile_as(call: Any, body: Callable[..., Any], flags: dict[str, Any] | None = None) -> None:
    """Let entries that name `call` compile the function that `body` returns for the types of its arguments."""
    numba.extending.overload(call, jit_options=_PART | (flags or {}), strict=False)(body)


def inner_part(function: Any) -> Any:
    """As `kernel`, for steps of a loop over arrays that they do not make: references to these are not counted.

    Unlike an `inner_kernel` it has no machine code of its own, which for many steps that call each other takes longer
    than all else; alone it is compiled where Python calls it.
    """
    return _compiled_with_entries(function, {"_nrt": False})


def _compiled_with_entries(function: Any, flags: dict[str, Any] | None = None) -> Any:
    """Entries that name the function compile it with themselves; where Python calls it, it is an entry."""
    if DISABLED:
        return function
    alone = functools.cache(lambda: entry(function))

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return alone()(*arguments)

    _compile_as(call, lambda *types: function, flags)
    return call


def inner_kernel(function: Any) -> Any:
    """As `kernel`, for the small steps of a loop that make no arrays: they are compiled into their caller.

    References to the caller's arrays are not counted there (numba: `forceinline`, `_nrt`); a call and its counting
    would take longer than the steps themselves.
    """
    return function if DISABLED else _kept(numba.njit(**_INNER)(function))


def _kept(compiled: Any) -> Any:
    if _IS_KEPT:
        compiled._cache = _Kept(compiled.py_func)
    return compiled
