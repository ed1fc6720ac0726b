"""Request streams of one channel: access numbers and which of them write."""

from __future__ import annotations

import numpy as np

PATTERNS = ("seq", "stride", "random")
WRITE_MODES = ("inplace", "stream")


def request_stream(
    pattern: str,
    count: int,
    address_bits: int,
    *,
    stride: int,
    block: int,
    write_fraction: float,
    write_mode: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(access numbers, whether each writes), both of shape (count,).

    stride, block: in accesses; random: whole blocks at random places, each in order. Writes fall on the requests at
    random: in place, or as a sequential stream of their own half the capacity away.
    """
    draws = np.random.default_rng(seed)
    accesses = _addresses(pattern, count, address_bits, stride, block, draws)
    writes = draws.random(count) < write_fraction
    if write_mode == "stream":
        reads = np.flatnonzero(~writes)
        own = np.flatnonzero(writes)
        accesses[reads] = accesses[: len(reads)].copy()
        accesses[own] = np.arange(len(own)) + (1 << address_bits >> 1)
    return accesses % (1 << address_bits), writes


def _addresses(
    pattern: str, count: int, address_bits: int, stride: int, block: int, draws: np.random.Generator
) -> np.ndarray:
    steps = np.arange(count, dtype=np.int64)
    if pattern == "seq":
        return steps
    if pattern == "stride":
        return steps * stride
    blocks = max(1, (1 << address_bits) // block)
    starts = draws.integers(0, blocks, -(-count // block), dtype=np.int64) * block
    return starts[steps // block] + steps % block
