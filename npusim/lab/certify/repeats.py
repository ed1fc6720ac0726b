"""Whether each cell was measured often enough, and how far its repeats lie apart (ISO 5725-2:2019, 7.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from npusim.lab.cells import Cell, Repeat
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, Clause, at_limit
from npusim.lab.certify.handed import Handed
from npusim.lab.certify.rules_file import SpreadLimit, row_for
from npusim.lab.rules.copies import file_of_run
from npusim.words import Phrase


def repeats(handed: Handed) -> Iterator[Clause]:
    """Runs of every cell, and the spread of the figures that have a limit."""
    for cell in handed.cells:
        yield _runs(handed, cell)
        names = dict.fromkeys(name for each in handed.cells[cell] for name in each.figures)
        rows = handed.rules.repeats.spread
        for name in names:
            place = row_for(name, tuple(each.metric for each in rows))
            if place is not None and (name in handed.declared_of(cell) or name == rows[place].metric):
                yield _spread(handed, cell, name, rows[place])


def _runs(handed: Handed, cell: Cell) -> Clause:
    found = handed.cells[cell]
    limit = handed.rules.repeats.runs
    verdict, decides = at_limit(limit, lambda least: PASS if len(found) >= least else FAIL)
    values = {"runs": len(found), "least": f"{limit.value:g}"}
    text = "{runs} runs of at least {least}."
    copied = [each for each in found if _copies(each)]
    if copied:
        text = "{runs} runs of at least {least}; files with the same figures to the digit count once: {copies}."
        values["copies"] = "; ".join(" = ".join(Path(file).name for file in each.files) for each in copied)
    return Clause("repeats.runs", cell, verdict, Phrase(text, values), handed.files(cell), {"runs": len(found)},
                  limit.value, limit_decides=decides)  # fmt: skip


def _copies(repeat: Repeat) -> bool:
    """Whether one tool tells of the run in several files: two files of a run are of two tools, or of two forms."""
    by_tool = Counter((run.tool, Path(file_of_run(run)).suffix) for run in repeat.runs)
    return any(count > 1 for count in by_tool.values())


def _spread(handed: Handed, cell: Cell, name: str, rule: SpreadLimit) -> Clause:
    title, files = f"repeats.spread.{name}", handed.files(cell)
    repeated = handed.repeated(cell, name)
    assert repeated is not None
    cv = repeated.cv
    known = {"measured": repeated.values.tolist(), "median": repeated.median, "cv": cv}
    if cv is None:
        says = Phrase("One run has no spread.")
        return Clause(title, cell, NOT_DECIDABLE, says, files, known, rule.most.value)
    verdict, decides = at_limit(rule.most, lambda most: PASS if cv <= most else FAIL)
    values = {"cv": f"{100.0 * cv:.3g}", "most": f"{100.0 * rule.most.value:.3g}", "runs": repeated.n}
    says = Phrase("Standard deviation of {runs} runs is {cv} % of their mean; at most {most} % are allowed.", values)
    return Clause(title, cell, verdict, says, files, known, rule.most.value, limit_decides=decides)
