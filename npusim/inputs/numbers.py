"""Numbers as tools print them: one grammar, in which a decimal comma is a mistake and never a thousand."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

MOST_NUMBER = 1e20
"""Size of a number, in whatever unit: nanoseconds since 1970 have 19 digits."""
_LONGEST = 100
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(\.\d{3})*,\d*", re.ASCII)


def decimal(value: Any) -> Decimal:
    """The number that a cell or a JSON value holds, as it is printed; thousands may be separated by commas.

    Raises ValueError with the mend: no number, not finite, too large for a float, a decimal comma.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"{_shown(value)} is no number")
    text = str(value).strip()
    if len(text) > _LONGEST:
        raise ValueError(f"{_shown(text)} is too long for a number")
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if not _NUMBER.fullmatch(text):
        if _DECIMAL_COMMA.fullmatch(text):
            raise ValueError(f"'{text}' has a decimal comma; write a decimal point")
        what = "finite number" if re.fullmatch(r"[+-]?(nan|inf|infinity)", text, re.IGNORECASE) else "number"
        raise ValueError(f"{_shown(text)} is no {what}")
    number = Decimal(text)
    if abs(float(number)) > MOST_NUMBER:
        raise ValueError(f"'{text}' is too large")
    return number


def plain(text: str) -> float | None:
    """A number without groups of thousands, None for a text that is none."""
    stripped = text.strip()
    if len(stripped) > _LONGEST or not _NUMBER.fullmatch(stripped):
        return None
    value = float(stripped)
    return value if abs(value) <= MOST_NUMBER else None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value[:_LONGEST]}'"
    return {"dict": "an object", "list": "a list", "bool": str(value).lower(), "NoneType": "nothing"}.get(
        type(value).__name__, type(value).__name__
    )
