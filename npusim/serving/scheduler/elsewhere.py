"""Calls of entries where their machine code lies.

An entry that names another one takes in its code, optimises it once more and makes machine code of it again: for the
server's loop and the costing of a step, half a minute for each kind of chip. Here only the call is compiled.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from npusim.compilation import DISABLED

NOWHERE = np.zeros(2, np.int64)
"""Of an entry that is not called."""

_CODE: dict[tuple[Any, ...], np.ndarray] = {}
"""Machine code that was asked for, by entry and kinds of arguments."""


def _code(arguments: tuple[Any, ...]) -> int:
    """A number that tells the types of arguments from others."""
    return zlib.crc32(str(arguments).encode())


def machine_code(entry: Any, returns: Any, arguments: tuple[Any, ...]) -> np.ndarray:
    """Where the machine code of an entry lies for arguments of these types, and the number of those, int64 (2,).

    Raises TypeError where it returns something else than `returns` (a type of Numba).
    """
    if DISABLED:
        return NOWHERE
    # Numba takes milliseconds to find the types of records: as long as a short run of a server.
    known = entry, *_kinds(arguments)
    if known not in _CODE:
        _CODE[known] = _machine_code(entry, returns, tuple(numba.typeof(argument) for argument in arguments))
    return _CODE[known]


def _kinds(arguments: Iterable[Any]) -> Iterator[Any]:
    """What tells the types of arguments: type, and of an array its dtype and how it is laid out."""
    for argument in arguments:
        yield type(argument)
        if isinstance(argument, np.ndarray):
            flags = argument.flags
            yield from (argument.dtype, argument.ndim, flags.c_contiguous, flags.f_contiguous, flags.writeable)
        elif isinstance(argument, tuple):
            yield from _kinds(argument)


def _machine_code(entry: Any, returns: Any, signature: tuple[Any, ...]) -> np.ndarray:
    """As `machine_code`, for arguments of these types of Numba."""
    entry.compile(signature)
    compiled = entry.overloads[signature]
    if compiled.signature.return_type != returns:
        raise TypeError(f"{entry.__name__} returns {compiled.signature.return_type}, not {returns}")
    return np.array([compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name), _code(signature)])


def calls(entry: Any, returns: Any) -> Any:
    """A function of (code, arguments) for compiled code: it calls `entry` with a tuple of arguments at its
    `machine_code`, and returns `returns`. Raises RuntimeError where that is code for arguments of other types."""

    def call_it(typing: Any, place: Any, known: Any, arguments: Any) -> Any:
        types_of = tuple(arguments.types)

        def make_code(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            address, code, packed = values
            other = builder.icmp_signed("!=", code, ir.Constant(code.type, _code(types_of)))
            with cgutils.if_unlikely(builder, other):
                context.call_conv.return_user_exc(builder, RuntimeError, ("code for arguments of other types",))
            kind = context.call_conv.get_function_type(returns, types_of)
            callee = builder.inttoptr(address, kind.as_pointer())
            own = cgutils.unpack_tuple(builder, packed)
            status, result = context.call_conv.call_function(builder, callee, returns, types_of, own)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return returns(types.int64, types.int64, arguments), make_code

    return (lambda place, known, arguments: entry(*arguments)) if DISABLED else intrinsic(call_it)
