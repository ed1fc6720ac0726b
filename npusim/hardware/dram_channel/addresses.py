"""Address maps: each bit of a DRAM coordinate is the parity of some bits of the access's number.

A map is a table of masks, one row per coordinate: so plain interleaving, XOR hashes and a chip's own map are one thing.
"""

from __future__ import annotations

import numpy as np

from npusim.compilation import kernel

COORDINATES = ("pseudo_channel", "rank", "group", "bank", "row", "column")
PSEUDO_CHANNEL, RANK, GROUP, BANK, ROW, COLUMN = range(6)
MAX_BITS = 24
FOLD = 32

MAPPINGS = ("bgint", "rocol", "xor")
"""bgint: bank group directly above the burst; rocol: column lowest; xor: bgint, its group and bank XORed with the
lowest bits of the row."""

_ORDERS = {
    "bgint": ("pseudo_channel", "group", "column", "bank", "rank", "row"),
    "rocol": ("column", "pseudo_channel", "rank", "group", "bank", "row"),
}


def widths(timing: np.void) -> dict[str, int]:
    """Address bits of each coordinate; of three ranks one bit's worth is addressed."""
    sizes = {
        "pseudo_channel": timing["pseudo_channels"],
        "rank": timing["ranks"],
        "group": timing["groups"],
        "bank": timing["banks_per_group"],
        "row": timing["rows"],
        "column": timing["columns"],
    }
    return {name: int(size).bit_length() - 1 for name, size in sizes.items()}


def named_map(mapping: str, timing: np.void) -> np.ndarray:
    """Masks over the access's number, (coordinates, MAX_BITS) of int64, of a mapping of MAPPINGS."""
    bits = widths(timing)
    masks = np.zeros((len(COORDINATES), MAX_BITS), np.int64)
    position = 0
    for name in _ORDERS["rocol" if mapping == "rocol" else "bgint"]:
        for bit in range(bits[name]):
            masks[COORDINATES.index(name), bit] = 1 << position
            position += 1
    if mapping == "xor":
        hashed = [(GROUP, bit) for bit in range(bits["group"])] + [(BANK, bit) for bit in range(bits["bank"])]
        for place, (coordinate, bit) in enumerate(hashed):
            masks[coordinate, bit] |= masks[ROW, place]
    return masks


def address_bits(masks: np.ndarray) -> int:
    """Bits of the access's number that the map reads."""
    return int(np.bitwise_or.reduce(masks, axis=None)).bit_length()


@kernel
def parity(value):
    """Parity of the bits of a non-negative integer."""
    fold = FOLD
    while fold:
        value ^= value >> fold
        fold >>= 1
    return value & 1


@kernel
def coordinate(access, masks):
    """One coordinate of access number `access` from its row of masks."""
    value = 0
    for bit in range(len(masks)):
        if masks[bit] == 0:
            break
        value |= parity(access & masks[bit]) << bit
    return value


@kernel
def bank_and_row(access, masks, timing):
    """(number of the bank over all pseudo-channels, ranks and groups; row)."""
    bank = coordinate(access, masks[PSEUDO_CHANNEL])
    bank = bank * timing.ranks + coordinate(access, masks[RANK])
    bank = bank * timing.groups + coordinate(access, masks[GROUP])
    bank = bank * timing.banks_per_group + coordinate(access, masks[BANK])
    return bank, coordinate(access, masks[ROW])
