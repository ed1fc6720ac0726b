"""How each run was measured: how long, with how many requests, and whether as the grid says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from npusim.lab.cells import Cell, Repeat
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, Clause, at_limit, overall
from npusim.lab.certify.handed import Handed
from npusim.lab.check.conformity import deviations_of
from npusim.ledger import Quantity
from npusim.words import Phrase
from npusim.workload.grid import Grid, load_grid


def conduct(handed: Handed) -> Iterator[Clause]:
    """Duration, requests and grid of every cell."""
    rules = handed.rules
    grid = None if rules.grid is None else load_grid(rules.grid)
    for cell, repeats in handed.cells.items():
        seconds = {_file(each): _told(each, "duration_s") for each in repeats}
        yield _each_run(handed, cell, "duration", rules.duration, seconds, _LASTED, _at_least)
        per_user = {_file(each): _per_user(each, cell) for each in repeats}
        yield _each_run(handed, cell, "requests.per_user", rules.requests.per_user, per_user, _SENT, _at_least)
        failed = {_file(each): _failed(each) for each in repeats}
        yield _each_run(handed, cell, "requests.failed", rules.requests.failed, failed, _FAILED, _at_most)
        if grid is not None:
            yield _grid(handed, cell, grid)


_LASTED = "Shortest run {found} s; at least {limit} s are asked for."
_SENT = "Fewest completed requests of a user {found}; at least {limit} are asked for."
_FAILED = "Largest part of the requests that failed {found}; at most {limit} is allowed."
_UNTOLD = "Not told by {files}."


def _at_least(value: float, limit: float) -> bool:
    return value >= limit


def _at_most(value: float, limit: float) -> bool:
    return value <= limit


def _each_run(
    handed: Handed,
    cell: Cell,
    title: str,
    limit: Quantity,
    found: Mapping[str, float | None],
    text: str,
    holds: Callable[[float, float], bool],
) -> Clause:
    """A limit that each run must keep; one that breaks it fails the cell, one that does not tell leaves it open."""
    untold = [file for file, value in found.items() if value is None]

    def verdict_of(at: float) -> str:
        return overall(
            NOT_DECIDABLE if value is None else PASS if holds(value, at) else FAIL for value in found.values()
        )

    verdict, decides = at_limit(limit, verdict_of)
    known = [value for value in found.values() if value is not None]
    worst = (min if holds is _at_least else max)(known, default=None)
    says = (
        Phrase(_UNTOLD, {"files": ", ".join(Path(file).name for file in untold)})
        if worst is None or verdict == NOT_DECIDABLE
        else Phrase(text, {"found": f"{worst:,.4g}", "limit": f"{limit.value:,.4g}"})
    )
    return Clause(title, cell, verdict, says, handed.files(cell), dict(found), limit.value, limit_decides=decides)


def _file(repeat: Repeat) -> str:
    """Where a run is told of, with its line."""
    return repeat.run.location


def _told(repeat: Repeat, name: str) -> Any:
    """What the first of its files says that says it."""
    return next((value for run in repeat.runs if (value := getattr(run.conduct, name)) is not None), None)


def _per_user(repeat: Repeat, cell: Cell) -> float | None:
    completed = _told(repeat, "completed")
    return None if completed is None or not cell.users else completed / cell.users


def _failed(repeat: Repeat) -> float | None:
    failed, completed, sent = (_told(repeat, name) for name in ("failed", "completed", "requests"))
    if failed is None and completed is not None and sent is not None:
        failed = max(0, sent - completed)
    total = sent or (None if completed is None or failed is None else completed + failed)
    return None if failed is None or not total else failed / total


def _grid(handed: Handed, cell: Cell, grid: Grid) -> Clause:
    found = {_file(each): list(deviations_of(each.run.setting, each.run.conduct, grid)) for each in handed.cells[cell]}
    far = list({str(each): each for texts in found.values() for each in texts}.values())
    untold = [name for name in ("isl", "osl", "users") if getattr(cell, name) is None]
    untold += [
        name for name in ("arrival", "requests") if any(_told(each, name) is None for each in handed.cells[cell])
    ]
    if far:
        says = Phrase("Not as {grid} says: {deviations}.", {"grid": grid.name, "deviations": _joined(far)})
        told = {file: [str(each) for each in texts] for file, texts in found.items()}
        return Clause("grid", cell, FAIL, says, handed.files(cell), told)
    if untold:
        says = Phrase(
            "The files do not tell {names}, which {grid} sets.", {"names": ", ".join(untold), "grid": grid.name}
        )
        return Clause("grid", cell, NOT_DECIDABLE, says, handed.files(cell))
    return Clause("grid", cell, PASS, Phrase("A cell of {grid}, measured as it says.", {"grid": grid.name}),
                  handed.files(cell))  # fmt: skip


def _joined(phrases: list[Phrase]) -> Phrase:
    first, *rest = phrases
    return Phrase("{first}; {rest}", {"first": first, "rest": _joined(rest)}) if rest else first
