"""Bits that one stored element takes, with its share of the scales stored beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Quantity, in_unit

_Bits = Annotated[Quantity, in_unit("bit")]


class ElementBits(Part):
    """Size of one stored weight or activation by format, block scales included."""

    bf16: _Bits
    """Size of a BF16 or FP16 element, in bits."""
    fp8: _Bits
    """Size of an FP8 element with its share of the scales, in bits."""
    int8: _Bits
    """Size of an INT8 element with its share of the scales, in bits."""
    int4: _Bits
    """Size of an INT4 element with its share of the scales, in bits."""
    mxfp4: _Bits
    """Size of an MXFP4 element with its share of the block scale, in bits."""
    f32: _Bits
    """Size of an FP32 element, in bits."""


class KvBits(Part):
    """Size of one stored key or value element by format, scales included."""

    bf16: _Bits
    """Size of a BF16 or FP16 element, in bits."""
    fp8: _Bits
    """Size of an FP8 element with its share of the scales, in bits."""
    int8: _Bits
    """Size of an INT8 element with its share of the scales, in bits."""


class Formats(Part):
    """The shipped table of formats."""

    name: str
    """Name under which it is looked up and shown."""
    element: ElementBits
    """Formats of weights and activations."""
    kv: KvBits
    """Formats of the KV cache."""


def formats_path() -> Path:
    """The file of the shipped table of formats."""
    return data_root("workloads") / "formats.yaml"


@remembered
def formats() -> Formats:
    """The shipped formats with their provenances."""
    return load_yaml(formats_path(), Formats)


@remembered
def stored_bits(dtype: str) -> float:
    """Bits of one stored weight or activation of the format `dtype`, its share of scales included."""
    quantity: Quantity = getattr(formats().element, dtype)
    return quantity.value


@remembered
def kv_bits(dtype: str) -> float:
    """Bits of one KV cache element of the format `dtype` (bf16, fp8, int8), its share of scales included."""
    quantity: Quantity = getattr(formats().kv, dtype)
    return quantity.value
