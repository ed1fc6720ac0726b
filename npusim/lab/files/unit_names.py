"""Units that files name beside their sizes, as factors into npusim's own; those of figures are `metrics.UNIT_NAMES`."""

from __future__ import annotations

from collections.abc import Mapping

from npusim.errors import UserError
from npusim.metrics import UNIT_NAMES

SECONDS = {name: factor / 1e3 for name, factor in UNIT_NAMES["ms"].items()}
TOKENS = {"tokens": 1.0, "token": 1.0}
REQUESTS = {"requests": 1.0, "request": 1.0, "count": 1.0}


def factor(location: str, key: str, unit: str, known: Mapping[str, float]) -> float:
    """What a unit is worth in npusim's. Raises UserError for one that is none of the figure's."""
    found = known.get(unit.strip()) or known.get(unit.strip().lower())
    if found is None:
        raise UserError(location, key, f"'{unit}' is no unit of it; known: {', '.join(known)}")
    return found
