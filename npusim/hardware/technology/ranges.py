"""Ranges of what follows from a table of ranged numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from npusim.hardware.base import Part
from npusim.hardware.calibration import with_quantities
from npusim.ledger import provenances

_Table = TypeVar("_Table", bound=Part)


class Ranged(NamedTuple):
    """A figure and its range, float64 arrays of one shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ranged(function: Callable[[_Table], np.ndarray], table: _Table) -> Ranged:
    """`function` of the table, and its range as the numbers of the table move through theirs.

    Each number goes to its ends by itself; what that adds to either side is summed in squares, as for independent
    numbers (GUM, JCGM 100:2008, 5.1.2). A figure above zero keeps its range above zero.
    """
    value = np.asarray(function(table), np.float64)
    below, above = np.zeros_like(value), np.zeros_like(value)
    for moved in _moved(table):
        change = np.asarray(function(moved), np.float64) - value
        below += np.minimum(change, 0.0) ** 2
        above += np.maximum(change, 0.0) ** 2
    least = np.maximum(value - np.sqrt(below), value * value / np.maximum(value + np.sqrt(below), np.finfo(float).tiny))
    return Ranged(value, least, value + np.sqrt(above))


def _moved(table: _Table) -> Iterator[_Table]:
    """The table with one number at one end of its range."""
    for item in provenances("", table):
        for end in (item.quantity.low, item.quantity.high):
            if end is not None and end != item.quantity.value:
                yield with_quantities(table, {item.path: item.quantity.model_copy(update={"value": end})})
