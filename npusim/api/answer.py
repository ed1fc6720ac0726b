"""The types of what the API answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

if TYPE_CHECKING:
    import pandas as pd

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Answer: TypeAlias = dict[str, Json]
"""Everything that the command line's --json prints, its manifest apart; units in the names of the keys."""


class Range(TypedDict):
    """A figure with its 90 % interval."""

    value: float
    low: float
    high: float


NumberOrRange: TypeAlias = float | Range
NumbersOrRanges: TypeAlias = Mapping[str, NumberOrRange]
"""A figure by statistic: mean, p50, p90, p99."""


Progress: TypeAlias = Callable[[int, int, str], None]
"""Told at the beginning and after each part of the work: how many are done, of how many, and which was the last."""
_MISSING = ("<NA>", "NaT")


def plain_json(value: object) -> Json:
    """`value` with numpy scalars and arrays as Python's own and NaN, NA or infinity as None."""
    if isinstance(value, Mapping):
        return plain_answer(value)
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain_json(value.tolist())
    if isinstance(value, Iterable):
        return [plain_json(item) for item in value]
    if str(value) in _MISSING:
        return None
    raise TypeError(f"no JSON for {type(value).__name__}")


def plain_answer(answer: Mapping[str, object]) -> Answer:
    """As `plain`, of a whole answer."""
    return {str(key): plain_json(item) for key, item in answer.items()}


def records(frame: pd.DataFrame) -> list[Answer]:
    """The rows of a frame."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
