"""Figures that were copied from predictions: they agree to more digits than any measurement does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from npusim.bounds.reading import Reading
from npusim.inputs.numbers import decimal
from npusim.metric_names import metric

_FEWEST, _PROOF = 3, 6
"""Figures that agree, and digits beyond the first of each in which independent ones do: by chance once in a million."""
_ALIKE = {"ttft_ms": "ttft_ms", "power_w": "power_w"}
"""Quantities that do not follow from the pace of the tokens; of the others the sharpest figure counts alone."""


def copied(measured: Mapping[str, Any], predicted: Iterable[Mapping[str, float]]) -> bool:
    """Whether all figures of a row are those of one row of predictions to the printed digits.

    measured: cells by figure, as they are printed; predicted: figures of rows of the same shape and users.
    """
    return any(_agree(measured, row) for row in predicted)


def _agree(measured: Mapping[str, Any], predicted: Mapping[str, float]) -> bool:
    known = [name for name in measured if predicted.get(name)]
    if len(known) < max(_FEWEST, len(measured)):
        return False
    digits: dict[str, int] = {}
    for name in known:
        printed = Reading.printed(measured[name])
        if not printed.low <= predicted[name] <= printed.high:
            return False
        row = metric(name)
        family = _ALIKE.get(row.quantity if row is not None else name, "pace")
        digits[family] = max(digits.get(family, 0), _significant(decimal(measured[name])) - 1)
    return sum(digits.values()) >= _PROOF


def _significant(number: Decimal) -> int:
    return len(number.normalize().as_tuple().digits)
