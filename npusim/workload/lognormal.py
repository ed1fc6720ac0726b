"""Lognormal lengths of requests, of which the middle, the spread and the longest are known."""

from __future__ import annotations

import math

import numpy as np


def lognormal_lengths(
    median: float, spread: float, count: int, seed: int | None = None, longest: float = math.inf
) -> np.ndarray:
    """`count` lengths in tokens (int64, at least 1) at even quantiles of a lognormal; spread: sd of the logarithm.

    longest: where the distribution is cut off; `median` is the median of the rest. They rise, or are in an order that
    `seed` alone decides. Raises ValueError where the median is not below the longest.
    """
    if median >= longest:
        raise ValueError(f"a median of {median:g} tokens is not below the longest, {longest:g}")
    lengths = cut_lognormal(_location(median, spread, longest), spread, count, longest)
    return lengths if seed is None else np.random.default_rng(seed).permutation(lengths)


def cut_lognormal(location: float, spread: float, count: int, longest: float) -> np.ndarray:
    """`count` lengths (int64, at least 1) at even quantiles of a lognormal that ends at `longest`.

    location: mean of the logarithm before the cut.
    """
    from scipy.special import ndtr, ndtri

    shares = (np.arange(count) + 0.5) / max(count, 1)
    kept = ndtr((math.log(longest) - location) / spread) if spread > 0.0 else 1.0
    lengths = np.exp(location + spread * ndtri(shares * kept))
    return np.maximum(1, np.rint(lengths)).astype(np.int64)


def _location(median: float, spread: float, longest: float) -> float:
    """Mean of the logarithm before the cut, so that half of what is left lies below `median`."""
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    def half(location: float) -> float:
        below, kept = (log_ndtr((math.log(tokens) - location) / spread) for tokens in (median, longest))
        return float(below - kept + math.log(2.0))

    low = high = math.log(median)
    if spread == 0.0 or math.isinf(longest):
        return low
    while half(high) > 0.0:
        high += spread
    return float(brentq(half, low, high)) if high > low else low
