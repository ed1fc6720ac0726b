"""Numbers as a report prints them: in the unit in which the file gives them, times in engineering units."""

from __future__ import annotations

from npusim.ledger import Quantity
from npusim.units import readable, written_like
from npusim.words import Say

_MOST_CERTAIN = 0.99


def amount(quantity: Quantity, value: float | None) -> str:
    """A value of that number, "-" where there is none."""
    if value is None:
        return "-"
    if quantity.unit == "s":
        return readable(value, quantity.unit)
    return written_like(quantity.text, value, quantity.unit)


def span(quantity: Quantity, say: Say) -> str:
    """The range of a number, "-" where it has none."""
    if quantity.low is None or quantity.high is None:
        return "-"
    return say("{low} to {high}", low=say(amount(quantity, quantity.low)), high=say(amount(quantity, quantity.high)))


def probability_text(probability: float) -> str:
    """A probability in percent; a few dozen draws resolve none beyond 99 %."""
    if probability > _MOST_CERTAIN:
        return "> 99 %"
    return "< 1 %" if 0.0 < probability < 1.0 - _MOST_CERTAIN else f"{100.0 * probability:.0f} %"
