"""Address maps: each bit of a DRAM coordinate is the parity of some bits of the access's number.

A map is a table of masks, one row per coordinate: plain interleaving, XOR hashes and a chip's own map are all of this
form.
"""

from __future__ import annotations

import numpy as np

COORDINATES = ("pseudo_channel", "rank", "group", "bank", "row", "column")
PSEUDO_CHANNEL, RANK, GROUP, BANK, ROW, COLUMN = range(6)
MAX_BITS = 24
"""Most address bits of one coordinate."""
_BYTE = 8
_BYTE_VALUES = 1 << _BYTE

MAPPINGS = ("bgint", "rocol", "xor")
"""bgint: bank group directly above the burst; rocol: column lowest; xor: bgint, its group and bank XORed with the
lowest bits of the row."""

_ORDERS = {
    "bgint": ("pseudo_channel", "group", "column", "bank", "rank", "row"),
    "rocol": ("column", "pseudo_channel", "rank", "group", "bank", "row"),
}


def widths(timing: np.void) -> dict[str, int]:
    """Address bits of each coordinate; of three ranks only two are addressed."""
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
        for index, (coordinate, bit) in enumerate(hashed):
            masks[coordinate, bit] |= masks[ROW, index]
    return masks


def address_bits(masks: np.ndarray) -> int:
    """Bits of the access's number that the map reads."""
    return int(np.bitwise_or.reduce(masks, axis=None)).bit_length()


def banks_and_rows(accesses: np.ndarray, masks: np.ndarray, timing: np.void) -> tuple[np.ndarray, np.ndarray]:
    """(banks, rows) of access numbers, int64 of their shape; a bank counts over pseudo-channels, ranks and groups.

    Parity is linear: the coordinates of an access are the XOR of those of its bytes, which are in a table.
    """
    packed = np.zeros_like(accesses)
    for byte, table in enumerate(_byte_tables(masks)):
        packed ^= table[accesses >> byte * _BYTE & _BYTE_VALUES - 1]
    offsets = _offsets(masks)
    own = [packed >> offsets[row] & (1 << offsets[row + 1] - offsets[row]) - 1 for row in range(COLUMN)]
    bank = own[PSEUDO_CHANNEL] * timing["ranks"] + own[RANK]
    bank = (bank * timing["groups"] + own[GROUP]) * timing["banks_per_group"] + own[BANK]
    return bank, own[ROW]


def _offsets(masks: np.ndarray) -> list[int]:
    """Lowest bit of each coordinate in packed coordinates, and one more for the end."""
    return [0, *np.cumsum((masks != 0).sum(axis=1)).tolist()]


def _byte_tables(masks: np.ndarray) -> np.ndarray:
    """Packed coordinates, without the column, of every value of each byte of an access's number: (bytes, 256)."""
    offsets = _offsets(masks)
    tables = np.zeros((-(-address_bits(masks) // _BYTE), _BYTE_VALUES), np.int64)
    values = np.arange(_BYTE_VALUES)
    for row, bit in np.argwhere(masks[:COLUMN]):
        for index in range(address_bits(masks)):
            if masks[row, bit] >> index & 1:
                own = values >> index % _BYTE & 1
                tables[index // _BYTE] ^= own << offsets[row] + bit
    return tables
