"""Bits that one stored element takes, with its share of the scales stored beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Quantity, in_unit

Bits = Annotated[Quantity, in_unit("bit")]


class ElementBits(Part):
    """Bits of one stored weight or activation by format, block scales included."""

    bf16: Bits
    fp8: Bits
    int8: Bits
    int4: Bits
    mxfp4: Bits
    f32: Bits


class KvBits(Part):
    """Bits of one stored key or value element by format, scales included."""

    bf16: Bits
    fp8: Bits
    int8: Bits


class Formats(Part):
    """The shipped table of formats."""

    name: str
    element: ElementBits
    kv: KvBits


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
