"""What a bound says of a figure, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

IMPOSSIBLE, IMPLAUSIBLE, PLAUSIBLE, UNCHECKED = "impossible", "implausible", "plausible", "unchecked"
VERDICTS = (IMPOSSIBLE, IMPLAUSIBLE, PLAUSIBLE, UNCHECKED)
"""From the gravest on."""


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
    says: str
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
    def need(self) -> str:
        """The part that is needed, as text."""
        low, high = f"{100.0 * self.low:.3g}", f"{100.0 * self.high:.3g}"
        return f"{low} %" if low == high else f"{low} to {high} %"

    @property
    def reason(self) -> str:
        strained = self.verdict == IMPLAUSIBLE and self.reachable < 1.0
        beyond = f"; at most {100.0 * self.reachable:.3g} % is ever reached" if strained else ""
        return f"needs {self.need} of {self.says}{beyond}"


def gravest(findings: Iterable[Finding]) -> Finding | None:
    """The finding that needs most of what its bound leaves: first by verdict, then by its favourable end."""
    return min(findings, key=lambda found: (VERDICTS.index(found.verdict), -found.low), default=None)
