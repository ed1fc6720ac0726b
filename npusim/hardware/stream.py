"""The rate of long streams through a whole memory, from its DRAM standard and its address map.

A stream of contiguous runs is cut into bursts; those of the fullest channel, which decides for all, are simulated
command by command (`dram_channel`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from npusim.hardware.address_map import AddressMap, FittedMap, fitted
from npusim.hardware.dram import Dram
from npusim.hardware.dram_channel.addresses import COORDINATES, MAX_BITS, banks_and_rows
from npusim.hardware.dram_channel.channel import run_channel
from npusim.hardware.dram_channel.state import COUNT_DTYPE
from npusim.hardware.dram_channel.timing import REFRESH_ALL_BANK, build_timing

_BURSTS = 1 << 14
"""Bursts of one channel that are simulated for a stream."""
_OUTSTANDING = 128
"""Requests of one channel that are unanswered at once: enough that the stream waits for the memory alone."""
_WARM_UP = 8
"""One burst in so many is run before the measurement."""


@dataclass(frozen=True)
class Stream:
    """Contiguous runs of `run` bytes, one every `pitch` bytes, the first `offset` bytes after an aligned address."""

    run: int
    pitch: int
    offset: int = 0

    @classmethod
    def contiguous(cls, unit: int) -> Stream:
        """One run without end, fetched in units of `unit` bytes."""
        return cls(unit, unit)


@lru_cache
def stream_efficiency(dram: Dram, mapping: AddressMap, unit: int, stream: Stream) -> float:
    """Wanted bytes over what all channels could move in the time that the fullest of them takes.

    unit: bytes that are always fetched together, aligned. All-bank refresh on.
    """
    pseudo_channels = 1 << len(mapping.pseudo_channel)
    timing = build_timing(dram, REFRESH_ALL_BANK, pseudo_channels)
    placed = placed_map(mapping)
    channels = placed.every
    addresses = _fetched(stream, unit, _BURSTS * channels, int(dram.organisation.access.value))
    channel = placed.channel_of(addresses)
    loads = np.bincount(channel, minlength=channels)
    accesses = addresses[channel == int(loads.argmax())]
    warm = len(accesses) // _WARM_UP
    banks, rows = banks_and_rows(placed.inside(accesses), byte_masks(mapping), timing)
    ticks, requests, _, _ = run_channel(
        banks,
        rows,
        np.zeros(len(accesses), np.bool_),
        timing,
        min(_OUTSTANDING, len(accesses) - warm - 1),
        warm,
        np.zeros(1, COUNT_DTYPE),
    )
    rate = requests * int(timing["tBL"]) / (ticks * pseudo_channels)
    balance = len(addresses) / (channels * loads.max())
    return float(rate * balance * _wanted(stream, unit))


def _fetched(stream: Stream, unit: int, bursts: int, access: int) -> np.ndarray:
    """Byte addresses of the bursts that runs of a stream fetch, in order, about `bursts` of them."""
    first, last = stream.offset // unit, (stream.offset + stream.run - 1) // unit
    span = np.arange(first * unit, (last + 1) * unit, access, dtype=np.int64)
    runs = -(-bursts // len(span))
    return (np.arange(runs, dtype=np.int64)[:, None] * stream.pitch // unit * unit + span[None, :]).ravel()


def _wanted(stream: Stream, unit: int) -> float:
    """Fraction of the fetched bytes that the stream asked for."""
    units = (stream.offset + stream.run - 1) // unit - stream.offset // unit + 1
    return stream.run / (units * unit)


def channels_of(addresses: np.ndarray, mapping: AddressMap) -> np.ndarray:
    """The channel of each byte address, counted over all stacks: int64 of their shape."""
    return placed_map(mapping).channel_of(addresses)


def placed_map(mapping: AddressMap) -> FittedMap:
    """A map with the stacks and channels that it was fitted to, or those of its bits."""
    if isinstance(mapping, FittedMap):
        return mapping
    return fitted(mapping, 1 << len(mapping.stack), 1 << len(mapping.channel))


def byte_masks(mapping: AddressMap) -> np.ndarray:
    """The map of one channel as the kernel reads it, over byte addresses."""
    masks = np.zeros((len(COORDINATES), MAX_BITS), np.int64)
    for row, name in enumerate(COORDINATES):
        for index, parts in enumerate(getattr(mapping, "bank_group" if name == "group" else name)):
            masks[row, index] = sum(1 << bit for bit in parts)
    return masks
