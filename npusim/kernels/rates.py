"""Picks one of several rates, sizes or numbers of passes by operand type or operator."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.dtypes import BF16, FP8, INT4, INT8, NVFP4
from npusim.mapping.optable import NORM, ROPE, SAMPLE, SILU


@kernel
def operand_bytes(dtype):
    """Bytes of one operand in the MAC array."""
    if dtype in (INT4, NVFP4):
        return 0.5
    return 1.0 if dtype in (FP8, INT8) else 2.0


@kernel
def rate_of(dtype, bf16, fp8, int8, int4, nvfp4):
    """The rate of an operand type among the five."""
    if dtype == BF16:
        return bf16
    if dtype == FP8:
        return fp8
    if dtype == NVFP4:
        return nvfp4
    return int8 if dtype == INT8 else int4


@kernel
def efficiency_of(dtype, bf16, fp8, int8):
    """A library's efficiency for an operand type; int8 as fp8 where it is not given, 4 bits as those."""
    if dtype == BF16:
        return bf16
    return fp8 if dtype == FP8 or math.isnan(int8) else int8


@kernel
def given(number, otherwise):
    """A number of a library, or a default where its description leaves it out."""
    return otherwise if math.isnan(number) else number


@kernel
def of_op(op, norm, rope, activation, sample):
    """The number of an operator among those of four; 1 for any other."""
    if op == NORM:
        return norm
    if op == ROPE:
        return rope
    if op == SILU:
        return activation
    return sample if op == SAMPLE else 1.0
