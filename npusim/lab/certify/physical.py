"""npusim's own check of every run: what breaks a bound of physics fails, what it does not explain is not decidable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        decisive = shown[0].decisive
        says = Phrase("All runs are plausible.")
        if gravest != PLAUSIBLE:
            told = {"verdict": Phrase(gravest), "count": len(shown), "first": _says(shown[0])}
            says = Phrase("{verdict} in {count} files of runs; the first: {first}.", told)
        files = tuple(dict.fromkeys(row.location for row in shown))
        figures = {row.location: _told(row) for row in shown}
        limit = None if decisive is None or gravest == PLAUSIBLE else decisive.limit
        yield Clause("physical", cell, _VERDICT[gravest], says, files, figures, limit)


def _says(row: CheckedRow) -> Phrase:
    """What decides over a run, in words that every language has."""
    decisive, name = row.decisive, Path(row.location).name
    if decisive is None:
        return Phrase("{file}: no figure that is known", {"file": name})
    told: dict[str, Any] = {"file": name, "figure": decisive.metric, "measured": f"{decisive.measured.value:,.5g}"}
    if decisive.verdict == UNCHECKED or not decisive.metric:
        return Phrase("{file}: {reason}", {"file": name, "reason": decisive.reason})
    if decisive.bound is not None and decisive.limit is not None and decisive.verdict == IMPOSSIBLE:
        told |= {"bound": Phrase(decisive.bound), "limit": f"{decisive.limit:,.5g}"}
        return Phrase("{file}: {figure} is {measured}, beyond {limit}, the bound of {bound}", told)
    if decisive.low is not None and decisive.high is not None:
        told |= {"low": f"{decisive.low:,.5g}", "high": f"{decisive.high:,.5g}"}
        return Phrase("{file}: {figure} is {measured}, outside {low} to {high} (99 %)", told)
    return Phrase("{file}: {figure} is {measured}: {reason}", told | {"reason": decisive.reason})


def _told(row: CheckedRow) -> dict[str, float | str | None]:
    decisive = row.decisive
    if decisive is None:
        return {}
    return {
        "metric": decisive.metric,
        "measured": decisive.measured.value,
        "bound": decisive.bound,
        "limit": decisive.limit,
        "predicted_low": decisive.low,
        "predicted_high": decisive.high,
        "reason": decisive.reason,
    }
