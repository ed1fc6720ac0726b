"""How a matrix is quantised: the format of an element, what shares a scale, and how the scale is kept."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from npusim.fidelity.elements import Element, ScaleFormat, largest, rounded, rounded_scales, top_exponent
from npusim.hardware.base import Part
from npusim.ledger import Count


class Quantiser(Part):
    """A format and the granularity of its scales, which are symmetric and follow the largest element (round to
    nearest, no calibration of clipping)."""

    format: Element
    """Format of an element."""
    per: Literal["element", "tensor", "row", "group"]
    """What shares a scale: nothing (`element`: a float format as it is), the tensor, a row (an output channel of
    weights, a token of activations), or a group along a row."""
    group: Count | None = None
    """Elements of a group, where a group shares a scale."""
    scale: ScaleFormat = "f32"
    """Format of the scales: 32 bits, powers of two (`e8m0`, as OCP MX), or `e4m3` under one 32-bit scale a tensor (as
    NVFP4)."""

    @model_validator(mode="after")
    def _a_group_has_a_size(self) -> Self:
        if (self.group is None) == (self.per == "group"):
            raise ValueError("give `group` where `per` is group, and nowhere else")
        return self


def quantised(matrix: np.ndarray, how: Quantiser) -> np.ndarray:
    """The numbers that stand for those of `matrix` (rows x elements), float64 of that shape.

    A last group of a row may be shorter than the others.
    """
    if how.per == "element":
        return rounded(matrix, how.format)
    if how.per == "tensor":
        return _scaled(matrix, how, np.abs(matrix).max(keepdims=True))
    if how.group is None:
        return _scaled(matrix, how, np.abs(matrix).max(axis=-1, keepdims=True))
    size = min(int(how.group.value), matrix.shape[-1])
    missing = -matrix.shape[-1] % size
    grouped = np.pad(matrix, ((0, 0), (0, missing))).reshape(len(matrix), -1, size)
    found = _scaled(grouped, how, np.abs(grouped).max(axis=-1, keepdims=True)).reshape(len(matrix), -1)
    return found[:, : matrix.shape[-1]]


def _scaled(values: np.ndarray, how: Quantiser, peaks: np.ndarray) -> np.ndarray:
    scales = _scales(np.where(peaks > 0.0, peaks, 1.0), how)
    return rounded(values / scales, how.format) * scales


def _scales(peaks: np.ndarray, how: Quantiser) -> np.ndarray:
    """The scale of each group with that largest element."""
    if how.scale == "e8m0":
        # OCP Microscaling Formats v1.0, 6.3: the exponent of the largest element less that of the format's largest.
        return np.exp2(np.floor(np.log2(peaks)) - top_exponent(how.format))
    if how.scale == "f32":
        return peaks / largest(how.format)
    # One scale a tensor lets the block scales use the range of E4M3.
    tensor = peaks.max() / (largest(how.format) * largest(how.scale))
    return rounded_scales(peaks / (largest(how.format) * tensor), how.scale) * tensor
