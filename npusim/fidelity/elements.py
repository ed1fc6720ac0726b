"""Number formats of single elements: what values they hold, and rounding to the nearest of these."""

from __future__ import annotations

from typing import Literal

import ml_dtypes
import numpy as np

Element = Literal["bf16", "e4m3", "e5m2", "int8", "int4", "e2m1"]
ScaleFormat = Literal["f32", "e8m0", "e4m3"]

_FLOATS: dict[str, type] = {
    "bf16": ml_dtypes.bfloat16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
_BITS = {"int8": 8, "int4": 4}


def largest(element: str) -> float:
    """The largest number of a format; integers are symmetric, so that -2^(bits - 1) is left out."""
    if element in _BITS:
        return 2.0 ** (_BITS[element] - 1) - 1.0
    return float(ml_dtypes.finfo(_FLOATS[element]).max)


def top_exponent(element: str) -> int:
    """The exponent of the largest number of a format."""
    return int(np.floor(np.log2(largest(element))))


def rounded(values: np.ndarray, element: str) -> np.ndarray:
    """The nearest numbers of a format, ties to even; what is larger than the largest becomes the largest.

    values: any shape; returns float64 of that shape.
    """
    most = largest(element)
    inside = np.clip(values, -most, most)
    if element in _BITS:
        return np.rint(inside)
    return np.asarray(inside, np.float32).astype(_FLOATS[element]).astype(np.float64)


def rounded_scales(scales: np.ndarray, scale: str) -> np.ndarray:
    """Positive scales as they are stored: f32 as they are, e4m3 to the nearest above zero.

    Scales of powers of two (e8m0) are not rounded but chosen: `quantiser.quantised` has the rule.
    """
    if scale != "e4m3":
        return scales
    least = float(ml_dtypes.finfo(_FLOATS["e4m3"]).smallest_subnormal)
    return np.maximum(rounded(scales, "e4m3"), least)
