"""Codes of number formats, plain integers that compiled kernels can compare."""

from __future__ import annotations

BF16, FP8, INT8, INT4, MXFP4, F32, NVFP4 = range(7)
NAMES = ("bf16", "fp8", "int8", "int4", "mxfp4", "f32", "nvfp4")
COUNT = len(NAMES)
NOT_MULTIPLIED = -1


def code(name: str) -> int:
    """The code of a format's name; ValueError for an unknown one."""
    return NAMES.index(name)


def name(format_code: int) -> str:
    """The name of a format's code."""
    return NAMES[format_code]
