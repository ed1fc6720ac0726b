"""How evenly a transfer is spread over the memory's channels.

Access units of memory are spread over stacks by their lowest address bit and over channels by the next ones, XORed
with groups of higher bits (furiosa-ai/furiosa-opt@ebb846a docs/src/moving-tensors/memory-performance.md: bit 8 stack,
bits 9-12 channel, XOR of bits 13-28).
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

_GROUPS = 4


def channel_of(unit: np.ndarray, stacks: int, channels: int) -> np.ndarray:
    """Channel, numbered over all stacks, of the access units at addresses `unit` (in access units): int64 array."""
    stack, above = unit % stacks, unit // stacks
    channel, above = above % channels, above // channels
    for _ in range(_GROUPS):
        channel = channel ^ (above % channels)
        above = above // channels
    return stack * channels + channel % channels


def evenness(machine: Any, byte_count: float) -> float:
    """Mean over largest load of the channels for `byte_count` contiguous bytes: 1 where every channel gets the same.

    Whole blocks of one unit per channel are even; with the remainder some channels wait for others.
    """
    stacks, channels = int(machine["memory_stacks"]), int(machine["memory_channels_per_stack"])
    whole, rest = divmod(max(1, ceil(byte_count / float(machine["memory_access_unit"]))), stacks * channels)
    loads = whole + np.bincount(channel_of(np.arange(rest), stacks, channels), minlength=stacks * channels)
    return float(loads.mean() / loads.max())
