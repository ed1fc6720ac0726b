"""A chip's memory at the depth that is asked for: one rate, channels under its address map, or commands.

`rate`: all channels as one, at the rate of long streams. `channel`: every channel is a resource of its own; the address
map says how much of a transfer each of them serves, and the fullest holds it up. `command`: besides, what a channel
delivers depends on the streams that are active together; a window of their bursts is run command by command on every
channel (`hardware/dram_channel`: bank conflicts, turns between reading and writing, refresh), once for each mix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from npusim.engine.event.channels import channel_of
from npusim.engine.event.core.state import BITS_OF_PATTERN, MOST_OF_PATTERN
from npusim.errors import UserError
from npusim.hardware.address_map import AddressMap
from npusim.hardware.dram import Dram
from npusim.hardware.dram_channel.addresses import banks_and_rows
from npusim.hardware.dram_channel.channel import run_channels
from npusim.hardware.dram_channel.timing import REFRESH_ALL_BANK, build_timing
from npusim.hardware.stream import byte_masks, channels_of, placed_map

if TYPE_CHECKING:
    from npusim.hardware.system import System

Depth = Literal["rate", "channel", "command"]
RATE, CHANNEL, COMMAND = "rate", "channel", "command"
DEPTHS: tuple[Depth, ...] = ("rate", "channel", "command")
REFRESH_RATES = (1, 2, 4)
"""Times the normal rate of refresh: 2 above 85 degrees Celsius (JESD238, JESD209-5: tREFI is halved), 4 where a hot
LPDDR asks for it (JESD209-5, MR4)."""

_MOST_PATTERNS = 15
"""Patterns that a mix of 60 bits can count."""
_MOST_RUNS = 1 << 16
"""Runs of a transfer whose locations are drawn; more spread evenly."""
_BURSTS = 1 << 13
"""Bursts of each channel in one window: longer than a refresh interval."""
_WINDOWS = 2
"""Windows of a mix, with other distances between its streams."""
_OUTSTANDING = 128
"""Requests of one channel that are unanswered at once: enough that streams wait for the memory alone."""
_WARM_UP = 8
"""One burst in so many is run before the measurement."""
_PLACES = 1 << 20
"""Places among which those of scattered runs and of other streams are drawn."""
_SEED = 12


Streams = tuple[tuple[int, bool], ...]
"""Run in bytes (0: one without end), and whether it writes, of each stream."""


class Access(NamedTuple):
    """Where the bytes of a transfer lie: from `address` on, or in runs of `run` bytes that are scattered (0: one run);
    writes: whether it writes; reader: which of the chips that share the memory.
    """

    address: int = 0
    run: int = 0
    writes: bool = False
    reader: int = 0


SOMEWHERE = Access()
"""For commands that move nothing."""
LEAVING, ARRIVING = Access(reader=-1), Access(reader=-1, writes=True)
"""Of messages, at the end that sends and at the one that receives them."""


@dataclass
class MemoryModel:
    """stacks, channels: of each stack; unit: bytes that are fetched together, aligned; mapping, dram: needed for
    commands; refresh_rate: of REFRESH_RATES."""

    depth: Depth = "rate"
    stacks: int = 1
    channels: int = 1
    unit: int = 1
    mapping: AddressMap | None = None
    dram: Dram | None = None
    refresh_rate: int = 1
    _patterns: dict[tuple[int, int, bool], int] = field(default_factory=dict)
    _shares: dict[tuple[Any, ...], np.ndarray] = field(default_factory=dict)

    @property
    def every(self) -> int:
        """Resources of the memory."""
        return 1 if self.depth == RATE else self.stacks * self.channels

    def shares(self, access: Access, amount: float) -> np.ndarray:
        """Bytes of each channel for a byte of the transfer, float64 (every,); above 1 in sum for bytes not wanted."""
        if self.depth == RATE:
            return np.ones(1)
        key = (access.address % (self.unit * self.every), access.run, ceil(amount))
        if key not in self._shares:
            loads = self._loads(access, amount)
            self._shares[key] = loads / loads.sum()
        return self._shares[key]

    def _loads(self, access: Access, amount: float) -> np.ndarray:
        """Access units of each channel."""
        if access.run == 0 or access.run >= amount:
            first, last = access.address // self.unit, (access.address + max(1, ceil(amount)) - 1) // self.unit
            whole, rest = divmod(last + 1 - first, self.every)
            return whole + self._count(np.arange(first, first + rest))
        runs, each = ceil(amount / access.run), ceil(access.run / self.unit)
        if runs > _MOST_RUNS:
            return np.ones(self.every)
        draw = np.random.default_rng((_SEED, access.address))
        starts = draw.integers(0, _PLACES, runs) * each
        return self._count((starts[:, None] + np.arange(each)).ravel())

    def _count(self, units: np.ndarray) -> np.ndarray:
        """How many of the access units lie on each channel."""
        if self.mapping is None or self._mapped != (self.stacks, self.channels):
            found = channel_of(units, self.stacks, self.channels)
        else:
            found = channels_of(units * self.unit, self.mapping)
        return np.bincount(found, minlength=self.every).astype(float)

    @property
    def _mapped(self) -> tuple[int, int]:
        assert self.mapping is not None
        placed = placed_map(self.mapping)
        return placed.stacks, placed.channels

    def pattern(self, access: Access) -> int:
        """The number of the pattern of an access, under which the streams of a mix are counted."""
        if self.depth != COMMAND:
            return 0
        run = 0 if access.run == 0 else 1 << max(0, access.run - 1).bit_length()
        key = (access.reader, run, access.writes)
        return self._patterns.setdefault(key, min(len(self._patterns), _MOST_PATTERNS - 1))

    def scale(self, mix: int) -> float:
        """What the channels deliver under a mix of streams, over what one long stream gets at the normal refresh."""
        return self.fraction(self._streams(mix), self.refresh_rate) / self.fraction(((0, False),), 1)

    def _streams(self, mix: int) -> Streams:
        """Run and whether it writes of each stream of a mix.

        The engines of one chip that read a tile together read neighbouring units: one stream (an assumption: streams of
        their own would meet in the same banks, and RNGD's eight engines reach what one long stream does).
        """
        found = []
        for (_, run, writes), number in self._patterns.items():
            count = mix >> number * BITS_OF_PATTERN & MOST_OF_PATTERN
            found += [(run, writes)] * (min(count, 1) if run == 0 else count)
        return tuple(sorted(found))

    def fraction(self, streams: Streams, refresh_rate: int) -> float:
        """Fraction of the peak that all channels reach together under these streams."""
        assert self.dram is not None
        assert self.mapping is not None
        return stream_fraction(self.dram, self.mapping, self.unit, streams, refresh_rate)


@lru_cache
def stream_fraction(dram: Dram, mapping: AddressMap, unit: int, streams: Streams, refresh_rate: int) -> float:
    """Fraction of the peak of all channels under the streams, run command by command: mean over the windows.

    unit: bytes that are fetched together, aligned; refresh_rate: times the normal rate of all-bank refresh.
    """
    windows = range(_WINDOWS if len(streams) > 1 else 1)
    return float(np.mean([_window(dram, mapping, unit, streams, refresh_rate, number) for number in windows]))


def _window(dram: Dram, mapping: AddressMap, unit: int, streams: Streams, refresh_rate: int, number: int) -> float:
    """Fraction of the peak in one window, all channels in one batch."""
    timing = build_timing(dram, REFRESH_ALL_BANK, 1 << len(mapping.pseudo_channel))
    timing["tREFI"] = timing["tREFI"] // refresh_rate
    placed = placed_map(mapping)
    channels = placed.every
    addresses, writes = _bursts(streams, unit, int(dram.organisation.access.value), channels, number)
    channel = placed.channel_of(addresses)
    order = np.argsort(channel, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(channel, minlength=channels))])
    banks, rows = banks_and_rows(placed.inside(addresses[order]), byte_masks(mapping), timing)
    ticks, answered = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    run_channels(banks, rows, writes[order], ends, timing, _OUTSTANDING, _WARM_UP, ticks, answered)
    return float(answered.sum() / ticks.sum() * timing["tBL"] / timing["pseudo_channels"])


def _bursts(streams: Streams, unit: int, access: int, channels: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Byte addresses of the bursts of a window, the streams in turn unit by unit, and whether each writes."""
    draw = np.random.default_rng((_SEED, number))
    units = ceil(_BURSTS * channels * access / unit / len(streams))
    turns = []
    for position, (run, _) in enumerate(streams):
        first = 0 if position == 0 else int(draw.integers(0, _PLACES)) * channels
        if run == 0:
            turns.append(first + np.arange(units))
        else:
            each = max(1, run // unit)
            starts = draw.integers(0, _PLACES, ceil(units / each)) * each
            turns.append((starts[:, None] + np.arange(each)).ravel()[:units])
    fetched = np.stack(turns, axis=1)
    steps = np.arange(0, unit, access)
    addresses = (fetched[:, :, None] * unit + steps).ravel()
    return addresses, np.repeat(np.tile([each for _, each in streams], units), len(steps))


def memory_model(system: System, depth: Depth, refresh_rate: int = 1) -> MemoryModel:
    """The memory of a chip of `system`. Raises UserError where the description lacks what the depth needs."""
    memory, dram = system.chip.memory, system.chip.dram
    if depth == COMMAND and (dram is None or memory.address_map is None):
        raise UserError(
            "--memory-depth",
            "command",
            f"the memory of {system.name} names no 'dram' standard or no 'address_map'; add them, or use channel",
        )
    if refresh_rate != 1 and depth != COMMAND:
        raise UserError("--refresh-rate", str(refresh_rate), "refresh is a command; add --memory-depth command")
    return MemoryModel(
        depth,
        int(memory.stacks.value),
        int(memory.channels_per_stack.value),
        int(memory.access_unit.value),
        memory.address_map,
        dram,
        refresh_rate,
    )
