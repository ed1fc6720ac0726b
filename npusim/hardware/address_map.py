"""A chip's own address map: which address bits select stack, channel and the location inside a channel."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from npusim.hardware.base import Part

Bits = tuple[frozenset[int], ...]
"""For each bit of a coordinate, the lowest first, the address bits whose parity it is."""

_SPAN = re.compile(r"(\d{1,2})(?:\s*-\s*(\d{1,2}))?")
_BITS = 64
"""Bits of an address."""
_FORM = "write 'bit 8', 'bits 6-7, 14-16' or 'bits 9-12 xor 13-28'"


def parse_bits(text: Any) -> Bits:
    """`bits 9-12 xor 13-28`: four bits, each the parity of one of 9-12 and every fourth of 13-28, in order."""
    if isinstance(text, tuple):
        return text
    found = re.fullmatch(r"bits?\s+([\d,\s-]+?)(?:\s+xor\s+([\d,\s-]+))?", str(text))
    if found is None:
        raise ValueError(f"'{text}' names no address bits; {_FORM}")
    own, hashed = _listed(found.group(1)), _listed(found.group(2) or "")
    if len(hashed) % len(own):
        raise ValueError(f"'{text}': {len(hashed)} bits cannot be spread over {len(own)}; {_FORM}")
    return tuple(frozenset({bit, *hashed[index :: len(own)]}) for index, bit in enumerate(own))


def _listed(text: str) -> list[int]:
    """Bits of "14-16, 20", in order. Raises ValueError."""
    bits: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        span = _SPAN.fullmatch(part)
        if span is None:
            raise ValueError(f"'{part}' is no bit or span of bits; {_FORM}")
        bits += range(int(span.group(1)), int(span.group(2) or span.group(1)) + 1)
    if any(bit >= _BITS for bit in bits):
        raise ValueError(f"an address has {_BITS} bits, 0 to {_BITS - 1}; {_FORM}")
    return bits


AddressBits = Annotated[Bits, BeforeValidator(parse_bits)]


class AddressMap(Part):
    """Bits of a byte address that form each coordinate; those below the pseudo-channel's lie inside a burst."""

    source: str
    """Where the map is published."""
    stack: AddressBits
    """Address bits of the stack, written as `bits 9-12 xor 13-28`."""
    channel: AddressBits
    """Address bits of the channel of a stack."""
    pseudo_channel: AddressBits
    """Address bits of the pseudo-channel of a channel."""
    rank: AddressBits
    """Address bits of the rank or stack ID."""
    bank_group: AddressBits
    """Address bits of the bank group."""
    bank: AddressBits
    """Address bits of the bank of a group."""
    row: AddressBits
    """Address bits of the row of a bank."""
    column: AddressBits
    """Address bits of the column (access) of a row."""
