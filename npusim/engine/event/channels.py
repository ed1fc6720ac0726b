"""How evenly a transfer falls on the memory's channels.

Access units of memory are spread over stacks by their lowest address bit and over channels by the next ones, XORed
with groups of higher bits (furiosa-ai/furiosa-opt@ebb846a docs/src/moving-tensors/memory-performance.md: bit 8 stack,
bits 9-12 channel, XOR of bits 13-28).
"""

from __future__ import annotations

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


def evenness(machine: Any, runs: int, run_bytes: float, stride_bytes: float) -> float:
    """Mean over largest load of the channels for `runs` contiguous runs of `run_bytes` that begin `stride_bytes` apart.

    1 where every channel gets the same; 0.5 where half of them get all.
    """
    unit = float(machine["memory_access_unit"])
    stacks, channels = int(machine["memory_stacks"]), int(machine["memory_channels_per_stack"])
    if runs == 1:
        count, every = max(1.0, np.ceil(run_bytes / unit)), stacks * channels
        return float(count / every / np.ceil(count / every))
    begin = np.floor(np.arange(runs) * stride_bytes / unit).astype(np.int64)
    length = max(1, int(np.ceil(run_bytes / unit)))
    units = (begin[:, None] + np.arange(length)).ravel()
    loads = np.bincount(channel_of(units, stacks, channels), minlength=stacks * channels)
    return float(loads.mean() / loads.max())
