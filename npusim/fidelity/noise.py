"""Ratios of signal to noise, and a sum whose partial results are rounded."""

from __future__ import annotations

import numpy as np

from npusim.fidelity.elements import rounded

# Decibels of a factor of ten in power.
_DB = 10.0


def noise_share(exact: np.ndarray, found: np.ndarray) -> float:
    """Power of the noise over that of the signal; 0 where nothing was lost, 1 where all was."""
    power = float(np.sum(np.square(exact)))
    return float(np.sum(np.square(found - exact))) / power if power else 0.0


def decibels(share: float) -> float:
    """The signal-to-quantisation-noise ratio of a share of noise, in dB; infinite without noise."""
    return float(-_DB * np.log10(share)) if share > 0.0 else float("inf")


def summed_product(rows: np.ndarray, columns: np.ndarray, accumulator: str | None = None, terms: int = 1) -> np.ndarray:
    """rows (m x k) times columns (n x k), float64 (m x n).

    accumulator: format to which the running sum is rounded each time that the sum of `terms` products is added to it;
    None for one that loses nothing (32 bits lose less than any format of elements).
    """
    if accumulator is None:
        return rows @ columns.T
    total = np.zeros((len(rows), len(columns)))
    for start in range(0, rows.shape[1], terms):
        part = rows[:, start : start + terms] @ columns[:, start : start + terms].T
        total = rounded(total + part, accumulator)
    return total
