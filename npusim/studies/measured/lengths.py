"""Lengths of the requests of a trace of which only the median is known."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def lognormal_lengths(median: float, spread: float, count: int, seed: int | None = None) -> np.ndarray:
    """`count` lengths in tokens (int64, at least 1) at even quantiles of a lognormal; spread: sd of the logarithm.

    They rise, or stand in an order that `seed` alone decides.
    """
    shares = (np.arange(count) + 0.5) / count
    lengths = np.maximum(1, np.rint(median * np.exp(spread * norm.ppf(shares)))).astype(np.int64)
    return lengths if seed is None else np.random.default_rng(seed).permutation(lengths)
