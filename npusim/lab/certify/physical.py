"""npusim's own check of every run: what breaks a bound of physics fails, what it does not explain is not decidable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE, UNCHECKED, VERDICTS
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, Clause
from npusim.lab.certify.handed import Handed
from npusim.lab.check.row import CheckedRow
from npusim.words import Phrase

_VERDICT = {IMPOSSIBLE: FAIL, IMPLAUSIBLE: NOT_DECIDABLE, PLAUSIBLE: PASS, UNCHECKED: NOT_DECIDABLE}


def physical(handed: Handed) -> Iterator[Clause]:
    """The gravest verdict on the runs of every cell, with every run that has it."""
    for cell, repeats in handed.cells.items():
        rows = [handed.rows[run.location] for repeat in repeats for run in repeat.runs]
        gravest = min((row.verdict for row in rows), key=VERDICTS.index)
        shown = [row for row in rows if row.verdict == gravest]
        figures = {row.location: _told(row) for row in shown}
        decisive = shown[0].decisive
        limit = decisive.limit if decisive is not None else None
        text = (
            Phrase("All runs are plausible.")
            if gravest == PLAUSIBLE
            else Phrase(
                "{verdict}: {reasons}.", {"verdict": Phrase(gravest), "reasons": "; ".join(map(_reason, shown))}
            )
        )
        files = tuple(dict.fromkeys(row.location for row in shown))
        yield Clause("physical", cell, _VERDICT[gravest], text, files, figures, limit)


def _reason(row: CheckedRow) -> str:
    decisive = row.decisive
    name = Path(row.location).name
    if decisive is None:
        return f"{name}: no figure that is known"
    return f"{name}: {decisive.metric} {decisive.reason}".replace(":  ", ": ")


def _told(row: CheckedRow) -> dict[str, float | str | None]:
    decisive = row.decisive
    if decisive is None:
        return {}
    return {"metric": decisive.metric, "measured": decisive.measured.value, "bound": decisive.bound}
