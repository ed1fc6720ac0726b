"""Measured figures against declared ones, with a guard band.

JCGM 106:2012, 8.3.2 and 8.3.3: a figure is accepted where it lies inside its limit by its expanded uncertainty or more
(guarded acceptance), rejected where it lies outside by as much (guarded rejection); between, it is not decidable.
"""

from __future__ import annotations

from collections.abc import Iterator

from npusim.lab.cells import Cell
from npusim.lab.certify.clause import FAIL, NOT_DECIDABLE, PASS, Clause, at_limit, digits_of
from npusim.lab.certify.handed import Handed
from npusim.lab.certify.rules_file import Acceptance, row_for
from npusim.words import Phrase


def acceptance(handed: Handed) -> Iterator[Clause]:
    """A clause for every declared figure of every cell, and for cells of which nothing is declared or measured."""
    if not handed.declared:
        yield Clause("acceptance", None, NOT_DECIDABLE, Phrase("Nothing is declared: there is no value to accept."))
        return
    rows = handed.rules.acceptance
    for cell in handed.cells:
        declared = handed.declared_of(cell)
        if not declared:
            says = Phrase("Nothing is declared of this cell.")
            yield Clause("acceptance", cell, NOT_DECIDABLE, says, handed.files(cell))
        for name, value in declared.items():
            place = row_for(name, tuple(each.metric for each in rows))
            yield _figure(handed, cell, name, value, None if place is None else rows[place])
    for each in handed.declared:
        if not any(each.is_of(cell) for cell in handed.cells):
            says = Phrase("Declared, but no run of {cell} is among the files.", {"cell": each.text})
            yield Clause("acceptance", None, NOT_DECIDABLE, says, figures=dict(each.figures))


def _figure(handed: Handed, cell: Cell, name: str, declared: float, rule: Acceptance | None) -> Clause:
    title, files = f"acceptance.{name}", handed.files(cell)
    known: dict[str, object] = {"declared": declared}
    if rule is None:
        says = Phrase("{figure} is declared, but the rules set no limit for it.", {"figure": name})
        return Clause(title, cell, NOT_DECIDABLE, says, files, known)
    repeated = handed.repeated(cell, name)
    if repeated is None:
        says = Phrase("{figure} is declared, but no run of the cell measured it.", {"figure": name})
        return Clause(title, cell, NOT_DECIDABLE, says, files, known)
    limit = rule.limit.value * declared
    known |= {"measured": repeated.values.tolist(), "median": repeated.median, "runs": repeated.n}
    uncertainty = handed.uncertainty(cell, name)
    if uncertainty is None:
        says = Phrase("The figure was measured once: its uncertainty is not known, so the guard band is not either.")
        return Clause(title, cell, NOT_DECIDABLE, says, files, known, limit)
    band = uncertainty.expanded
    known |= {"standard_uncertainty": uncertainty.standard, "coverage_factor": uncertainty.k}
    least = rule.at_least is not None
    verdict, decides = at_limit(
        rule.limit, lambda ratio: guarded(repeated.median, band, ratio * declared, at_least=least)
    )
    return Clause(title, cell, verdict, _says(verdict, least, repeated.median, band, limit), files, known, limit, band,
                  decides)  # fmt: skip


def guarded(measured: float, band: float, limit: float, *, at_least: bool) -> str:
    """The decision on one figure and a limit on one side of it. band: its expanded uncertainty, in its unit."""
    inside = measured - limit if at_least else limit - measured
    if inside >= band:
        return PASS
    return FAIL if inside <= -band and inside < 0.0 else NOT_DECIDABLE


def _says(verdict: str, least: bool, median: float, band: float, limit: float) -> Phrase:
    texts = {
        (PASS, True): "Median {median}, less its guard band {band}, is at least the limit {limit}.",
        (PASS, False): "Median {median}, with its guard band {band}, is at most the limit {limit}.",
        (FAIL, True): "Median {median}, with its guard band {band}, stays below the limit {limit}.",
        (FAIL, False): "Median {median}, less its guard band {band}, stays above the limit {limit}.",
    }
    between = "The limit {limit} lies within the guard band {band} of the median {median}."
    values = {"median": digits_of(median), "band": digits_of(band, 3), "limit": digits_of(limit)}
    return Phrase(texts.get((verdict, least), between), values)
