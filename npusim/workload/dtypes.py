"""Number formats as plain integers, so that compiled kernels and Python code name them alike."""

from __future__ import annotations

BF16 = 0
FP8 = 1
INT8 = 2
INT4 = 3
MXFP4 = 4
F32 = 5

NAMES = ("bf16", "fp8", "int8", "int4", "mxfp4", "f32")


def code(name: str) -> int:
    """The code of a format's name. Raises ValueError for a name outside NAMES."""
    return NAMES.index(name)


def name(code: int) -> str:
    """The name of a format's code."""
    return NAMES[code]
