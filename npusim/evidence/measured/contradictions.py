"""Rates of a source that contradict its own others: no server gives more users less in all, or each of them more.

What such a run was disturbed by is not published (stalls of the host, a first run that still compiles), and no
prediction could meet both figures. Only a source's own figures are compared with each other, never a prediction.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

_FAR = 5.0
"""Relative standard deviations of measuring again by which figures must differ."""


@dataclass(frozen=True)
class Rate:
    """row: of the table; set_up: all that two comparable runs share; users: in service; total: tokens/s of all of them;
    spread: relative standard deviation of measuring it again; judged: whether it may be the one that is wrong."""

    row: int
    set_up: Hashable
    users: float
    total: float
    spread: float
    judged: bool = True


def contradicted(rates: Iterable[Rate]) -> dict[int, str]:
    """Why a judged rate contradicts others of its set-up, by row."""
    set_ups: dict[Hashable, list[Rate]] = {}
    for rate in rates:
        set_ups.setdefault(rate.set_up, []).append(rate)
    found = {}
    for members in set_ups.values():
        for rate in members:
            reason = _reason(rate, members) if rate.judged else ""
            if reason:
                found[rate.row] = reason
    return found


def _reason(rate: Rate, others: list[Rate]) -> str:
    least = 1.0 - _FAR * rate.spread
    alone = max((other.total for other in others if other.users == 1.0), default=0.0)
    if rate.users > 1.0 and rate.total < least * alone:
        return (
            f"its source contradicts it: {rate.users:g} users got {rate.total:g} tokens/s in all, one alone {alone:g}"
        )
    own = rate.total / rate.users
    more = [other for other in others if other.judged and other.users > rate.users]
    best = max(more, key=lambda other: other.total / other.users, default=rate)
    if own < least * best.total / best.users:
        each = best.total / best.users
        return (
            f"its source contradicts it: each of {rate.users:g} users got {own:.3g} tokens/s, "
            f"each of {best.users:g} got {each:.3g}"
        )
    return ""
