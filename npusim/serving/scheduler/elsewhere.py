"""Calls of entries where their machine code lies.

An entry that names another one takes in its code, optimises it once more and makes machine code of it again: for the
server's loop and the costing of a step, half a minute for each kind of chip. Here only the call is compiled.
"""

from __future__ import annotations

import zlib
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from npusim.compilation import DISABLED


def _code(arguments: tuple[Any, ...]) -> int:
    """A number that tells the types of arguments from others."""
    return zlib.crc32(str(arguments).encode())


def machine_code(entry: Any, arguments: tuple[Any, ...]) -> np.ndarray:
    """Where the machine code of an entry lies for arguments of these types, and the number of those, int64 (2,)."""
    if DISABLED:
        return np.zeros(2, np.int64)
    signature = tuple(numba.typeof(argument) for argument in arguments)
    entry.compile(signature)
    compiled = entry.overloads[signature]
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return np.array([address, _code(signature)], np.int64)


def _call(typing: Any, entry: Any, place: Any, known: Any, arguments: Any) -> Any:
    """Call `entry` with a tuple of arguments at (place, known), its `machine_code`.

    Raises RuntimeError where that is the code for arguments of other types.
    """
    own = entry.dispatcher.get_call_template(arguments.types, {})[0].cases[0]

    def make_code(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        _, address, code, packed = values
        expected = ir.Constant(code.type, _code(tuple(own.args)))
        with cgutils.if_unlikely(builder, builder.icmp_signed("!=", code, expected)):
            context.call_conv.return_user_exc(builder, RuntimeError, ("machine code for arguments of other types",))
        kind = context.call_conv.get_function_type(own.return_type, own.args)
        callee = builder.inttoptr(address, kind.as_pointer())
        unpacked = cgutils.unpack_tuple(builder, packed)
        status, result = context.call_conv.call_function(builder, callee, own.return_type, own.args, unpacked)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return own.return_type(entry, types.int64, types.int64, arguments), make_code


def _call_plain(entry: Any, place: Any, known: Any, arguments: Any) -> Any:
    """As `_call`, where nothing is compiled."""
    return entry(*arguments)


call = _call_plain if DISABLED else intrinsic(_call)
