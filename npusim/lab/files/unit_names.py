"""Units that files name beside their figures, as factors into npusim's own (ms, tokens/s, W)."""

from __future__ import annotations

from npusim.errors import UserError

MILLISECONDS = {"ms": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3, "us": 1e-3, "µs": 1e-3, "ns": 1e-6}
SECONDS = {name: factor / 1e3 for name, factor in MILLISECONDS.items()}
TOKEN_RATES = {"tokens/sec": 1.0, "tokens/s": 1.0, "tok/s": 1.0, "tokens/second": 1.0}
REQUEST_RATES = {"requests/sec": 1.0, "requests/s": 1.0, "req/s": 1.0, "per_second": 1.0, "requests/second": 1.0}
TOKENS = {"tokens": 1.0, "token": 1.0}
REQUESTS = {"requests": 1.0, "request": 1.0, "count": 1.0}
WATTS = {"w": 1.0, "kw": 1e3, "mw": 1e-3, "watts": 1.0}


def factor(place: str, key: str, unit: str, known: dict[str, float]) -> float:
    """What a unit is worth in npusim's. Raises UserError for one that is none of the figure's."""
    found = known.get(unit.strip()) or known.get(unit.strip().lower())
    if found is None:
        raise UserError(place, key, f"'{unit}' is no unit of it; known: {', '.join(known)}")
    return found
