"""What a clause of the rules says of a cell or of the whole submission: verdict and evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from npusim.lab.cells import Cell
from npusim.ledger import Quantity
from npusim.words import Phrase

PASS, FAIL, NOT_DECIDABLE = "pass", "fail", "not_decidable"
VERDICTS = (FAIL, NOT_DECIDABLE, PASS)
"""From the gravest on."""


@dataclass(frozen=True)
class Clause:
    """One clause, of a cell or of all (None).

    clause: its dotted name in the rules; says: why, in words; files: that it rests on; figures: that it compares;
    limit: in the unit of the figures; guard_band: in the same, None where nothing measured is compared; limit_decides:
    whether another limit within the range that the rules give theirs would change the verdict.
    """

    clause: str
    cell: Cell | None
    verdict: str
    says: Phrase
    files: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    limit: float | None = None
    guard_band: float | None = None
    limit_decides: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the contract."""
        return {
            "clause": self.clause,
            "cell": None if self.cell is None else self.cell.as_dict(),
            "verdict": self.verdict,
            "evidence": {
                "text": str(self.says),
                "files": list(self.files),
                "figures": dict(self.figures),
                "limit": self.limit,
                "guard_band": self.guard_band,
                "limit_decides": self.limit_decides,
            },
        }


def overall(verdicts: Iterable[str]) -> str:
    """Fail where anything fails; else not decidable where anything is not, or nothing is said at all."""
    return min(verdicts, key=VERDICTS.index, default=NOT_DECIDABLE)


def at_limit(limit: Quantity, verdict_of: Callable[[float], str]) -> tuple[str, bool]:
    """The verdict at a limit, and whether it is another one at an end of the limit's range."""
    verdict = verdict_of(limit.value)
    ends = [end for end in (limit.low, limit.high) if end is not None]
    return verdict, any(verdict_of(end) != verdict for end in ends)


def digits_of(value: float, digits: int = 5) -> str:
    """A figure with so many significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 10.0**digits else f"{value:,.{digits}g}"
