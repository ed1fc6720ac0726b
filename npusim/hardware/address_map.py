"""A chip's own address map: which address bits select stack, channel and the location inside a channel."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from npusim.hardware.base import Part

_Bits = tuple[frozenset[int], ...]
"""For each bit of a coordinate, the lowest first, the address bits whose parity it is."""

_SPAN = re.compile(r"(\d{1,2})(?:\s*-\s*(\d{1,2}))?")
_BITS = 64
"""Bits of an address."""
_NONE = "none"
_FORM = "write 'bit 8', 'bits 6-7, 14-16', 'bits 9-12 xor 13-28' or 'none'"


def parse_bits(text: Any) -> _Bits:
    """`bits 9-12 xor 13-28`: four bits, each the parity of one of 9-12 and every fourth of 13-28, in order."""
    if isinstance(text, tuple):
        return text
    if str(text).strip() == _NONE:
        return ()
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


AddressBits = Annotated[_Bits, BeforeValidator(parse_bits)]


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


class FittedMap(AddressMap):
    """A map for the stacks and channels that a memory has, derived from the described one by a named rule.

    as_described: it has as many. shifted: a power of two more or fewer, whose bits are put in or taken out above the
    lowest ones of their coordinate; all bits above move, and hashed ones are dealt out anew, so that each channel sees
    what it saw before. modulo: no power of two; pieces as large as the lowest bit of stack and channel go round the
    channels in turn, and the rest of the map holds for what each channel gets (as the prime memory of Lawrie and Vora
    1982, IEEE Transactions on Computers 31(5); GPUs with five or six stacks divide so too).
    """

    rule: Literal["as_described", "shifted", "modulo"]
    stacks: int
    channels: int
    """Channels of a stack."""
    piece: int
    """Bytes that go to one channel before the next (modulo)."""

    @property
    def every(self) -> int:
        """Channels of all stacks."""
        return self.stacks * self.channels

    def channel_of(self, addresses: np.ndarray) -> np.ndarray:
        """The channel of each byte address, counted over all stacks: int64 of their shape."""
        if self.rule == "modulo":
            places = addresses // self.piece % self.every
            return places % self.stacks * self.channels + places // self.stacks
        return coordinate(addresses, self.stack) << len(self.channel) | coordinate(addresses, self.channel)

    def inside(self, addresses: np.ndarray) -> np.ndarray:
        """The addresses to which the map's other bits apply."""
        if self.rule != "modulo":
            return addresses
        return addresses // self.piece // self.every * self.piece + addresses % self.piece


def coordinate(addresses: np.ndarray, bits: _Bits) -> np.ndarray:
    """The value of a coordinate of each byte address."""
    value = np.zeros_like(addresses)
    for index, parts in enumerate(bits):
        for bit in parts:
            value ^= (addresses >> bit & 1) << index
    return value


def fitted(described: AddressMap, stacks: int, channels: int) -> FittedMap:
    """`described` for `stacks` stacks of `channels` channels. Raises ValueError where its bits leave no room."""
    given = {name: getattr(described, name) for name in AddressMap.model_fields}
    counts = {"stack": stacks, "channel": channels}
    piece = 1 << min((min(parts) for name in counts for parts in given[name]), default=_lowest(given))
    told = {"stacks": stacks, "channels": channels, "piece": piece}
    if all(1 << len(given[name]) == count for name, count in counts.items()):
        return FittedMap(**given, **told, rule="as_described")
    if all(count & (count - 1) == 0 for count in counts.values()):
        for name, count in counts.items():
            given = _resized(given, name, count.bit_length() - 1)
        return FittedMap(**given, **told, rule="shifted")
    for name in counts:
        given = _resized(given, name, 0)
    return FittedMap(**given, **told, rule="modulo")


def _lowest(given: dict[str, Any]) -> int:
    """The lowest bit that any coordinate reads, above which channels go where the map names none for them."""
    return min(bit for bits in given.values() if isinstance(bits, tuple) for parts in bits for bit in parts)


def _resized(given: dict[str, Any], name: str, wanted: int) -> dict[str, Any]:
    """The maps bits with `wanted` of one coordinate, those above moved up or down."""
    own = [min(parts) for parts in given[name]]
    hashed = sorted({bit for parts in given[name] for bit in parts} - set(own))
    have = len(own)
    if wanted == have:
        return given
    top = max(own) + 1 if own else _lowest(given)
    dropped = set(own[wanted:])

    def moved(bit: int) -> int:
        added = max(0, wanted - have) if bit >= top else 0
        return bit + added - sum(each < bit for each in dropped)

    changed: dict[str, Any] = {}
    for other, bits in given.items():
        if isinstance(bits, tuple) and other != name:
            changed[other] = tuple(frozenset(moved(bit) for bit in parts - dropped) for parts in bits)
    bits = [*own[:wanted], *range(top, top + max(0, wanted - have))]
    upper = [moved(bit) for bit in hashed]
    changed[name] = tuple(frozenset({bit, *upper[index :: len(bits)]}) for index, bit in enumerate(bits))
    if any(bit >= _BITS for found in changed.values() for parts in found for bit in parts):
        raise ValueError(f"the address map has no room for {1 << wanted} of {name}; its bits end at {_BITS - 1}")
    return {**given, **changed}
