"""`npusim certify`: whether a submission keeps the rules of a test procedure, clause by clause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from npusim import api
from npusim.api.certifying import CertifyOptions
from npusim.cli.options import command
from npusim.cli.output import print_json, say, speaking, spoken_console, table

if TYPE_CHECKING:
    from npusim.lab.certify.certify import Certified
    from npusim.lab.certify.clause import Clause
    from npusim.words import Say

_HEADINGS = ("cell", "pass", "not decidable", "fail", "verdict")


@command(CertifyOptions)
def certify(asked: CertifyOptions, as_json: bool) -> None:
    """Certify a folder of raw results by a file of rules: pass, fail or not decidable, clause by clause.

    The rules that npusim ships are its own: the procedure of K-Perf is not public. What is not told is not decidable.
    """
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.certify.of(replace(asked, say=say))
    if asked.out is not None:
        say(f"wrote {asked.out}")
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print(found.found)


def _print(found: Certified) -> None:
    """What does not pass, with its evidence, then how many clauses of each cell pass."""
    from npusim.lab.certify.clause import PASS, VERDICTS

    console, tell, rules = spoken_console(), speaking(), found.handed.rules
    console.print(f"{rules.name}: {tell(rules.source)}", soft_wrap=True)
    for clause in sorted(found.clauses, key=lambda each: VERDICTS.index(each.verdict)):
        if clause.verdict != PASS:
            cell = tell("all") if clause.cell is None else tell(clause.cell.text)
            told = f"{tell(_words(clause.verdict))}: {_clause(clause, tell)}: {cell}: {clause.says.in_words_of(tell)}"
            hangs = f" {tell('Another limit within its range would decide otherwise.')}" if clause.limit_decides else ""
            console.print(f"{told}{hangs}", soft_wrap=True)
    title = tell("Overall: {verdict}", verdict=tell(_words(found.verdict)))
    console.print(table([tell(heading) for heading in _HEADINGS], _cells(found, tell), title))
    for place, reason in found.unread:
        console.print(f"{tell('Skipped')}: {place}: {tell(reason)}.", soft_wrap=True)


def _clause(clause: Clause, tell: Say) -> str:
    """The dotted name of a clause in English, in other languages its title."""
    from npusim.lab.certify.page import clause_title

    return clause.clause if tell("Clause") == "Clause" else clause_title(clause.clause, tell)


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")


def _cells(found: Certified, tell: Say) -> Iterator[list[str]]:
    from npusim.lab.certify.clause import VERDICTS

    for cell in (*found.handed.cells, None):
        counts = Counter(clause.verdict for clause in found.clauses if clause.cell == cell)
        text = tell("all cells together" if cell is None else cell.text)
        yield [text, *(str(counts[verdict]) for verdict in reversed(VERDICTS)), tell(_words(found.verdict_of(cell)))]
