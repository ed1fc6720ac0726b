"""What a bound says of a figure, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from npusim.words import Phrase

IMPOSSIBLE, IMPLAUSIBLE, PLAUSIBLE, UNCHECKED = "impossible", "implausible", "plausible", "unchecked"
VERDICTS = (IMPOSSIBLE, IMPLAUSIBLE, PLAUSIBLE, UNCHECKED)
"""From the gravest on."""
_MANY = 2.0
"""Wholes from which on a part is told in times."""


@dataclass(frozen=True)
class Finding:
    """A bound and a figure.

    bound: its name; metric: the figure's, "" for the configuration itself. low, high: part of what the bound allows
    that the figure needs, on the most favourable and on the usual terms; above one it is broken. reachable: highest
    part that is known to be reached. limit: value that the figure cannot pass, in its unit, None without a figure.
    says: the bound in words. hard: False where something outside the bound's terms could break it.
    """

    bound: str
    metric: str
    low: float
    high: float
    says: Phrase
    limit: float | None = None
    reachable: float = 1.0
    hard: bool = True

    @property
    def verdict(self) -> str:
        """Impossible where even the favourable terms break the bound, implausible beyond what is ever reached."""
        if self.low > 1.0 and self.hard:
            return IMPOSSIBLE
        return IMPLAUSIBLE if self.low > min(self.reachable, 1.0) else PLAUSIBLE

    @property
    def need(self) -> Phrase:
        """The part that is needed: in percent, of what is far beyond the whole in times it."""
        if self.low >= _MANY:
            low, high = (f"{part:,.3g}" for part in (self.low, self.high))
            if low == high:
                return Phrase("{n_factor} times the whole", {"n_factor": low})
            return Phrase("{n_low} to {n_high} times the whole", {"n_low": low, "n_high": high})
        low, high = (_percent(part) for part in (self.low, self.high))
        return (
            Phrase("{part} %", {"part": low})
            if low == high
            else Phrase("{low} to {high} %", {"low": low, "high": high})
        )

    @property
    def reason(self) -> str:
        strained = self.verdict == IMPLAUSIBLE and self.reachable < 1.0
        beyond = f"; at most {100.0 * self.reachable:.3g} % is ever reached" if strained else ""
        return f"needs {self.need} of {self.says}{beyond}"


def _percent(part: float) -> str:
    return f"{100.0 * part:.3g}" if part < 10.0 else f"{100.0 * part:,.0f}"


def gravest(findings: Iterable[Finding]) -> Finding | None:
    """The finding that needs most of what its bound leaves: first by verdict, then by its favourable end."""
    return min(findings, key=lambda found: (VERDICTS.index(found.verdict), -found.low), default=None)
