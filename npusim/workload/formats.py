"""Bits that one stored element takes, with its share of the scales stored beside it."""

from __future__ import annotations

import re
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
    nvfp4: _Bits
    """Size of an NVFP4 element with its share of the block scale, in bits."""
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


class Label(Part):
    """What labs call a format."""

    scheme: str
    """Precision scheme that is meant."""
    words: str
    """Regular expression of whole words, in lower case."""


class Formats(Part):
    """The shipped table of formats."""

    name: str
    """Name under which it is looked up and shown."""
    element: ElementBits
    """Formats of weights and activations."""
    kv: KvBits
    """Formats of the KV cache."""
    labels: tuple[Label, ...]
    """What labs call formats of weights and activations; the first that is found counts."""
    kv_labels: tuple[Label, ...]
    """What labs call formats of the KV cache."""


_EDGE = r"(?:^|(?<=[-_. /(,;+]))(?:{})(?=$|[-_. /),;+])"
"""What stands around a word of a label."""


def label_pattern(words: str) -> re.Pattern[str]:
    """The words of a label where they stand alone."""
    return re.compile(_EDGE.format(words))


@remembered
def scheme_of_label(text: str) -> str | None:
    """The precision scheme that a label names ("FP8 (W8A8 dynamic, KV16)", "W4A16 g128"), None where it names none."""
    plain = _without_kv(text.strip().lower())
    return next((each.scheme for each in formats().labels if label_pattern(each.words).search(plain)), None)


@remembered
def kv_of_label(text: str) -> str | None:
    """The KV format that a label names, None where it names none."""
    plain = text.strip().lower()
    return next((each.scheme for each in formats().kv_labels if label_pattern(each.words).search(plain)), None)


def _without_kv(text: str) -> str:
    for each in formats().kv_labels:
        text = label_pattern(each.words).sub("", text)
    return text


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
