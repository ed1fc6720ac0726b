"""A submission as the clauses see it: cells with their repeats, and what is told beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from npusim.lab.cells import Cell, Repeat
from npusim.lab.certify.rules_file import Rules, row_for
from npusim.lab.certify.submission import DeclaredCell, Submission
from npusim.lab.check.row import CheckedRow
from npusim.lab.evidence.verify import VerifiedEvidence
from npusim.lab.files.lab_run import RunConditions
from npusim.lab.repeatability import Expanded, Pooled, Repeated, of_median, pooled


@dataclass(frozen=True)
class Handed:
    """cells: with their repeats; rows: of the check by location; told: what the files of a run tell themselves, by its
    location; declared: figures by cell, from the submission or in its place; broken: files of a known kind that cannot
    be read, with the reason; evidence: what verifying says where the folder is kept as evidence."""

    cells: Mapping[Cell, tuple[Repeat, ...]]
    rows: Mapping[str, CheckedRow]
    told: Mapping[str, RunConditions]
    rules: Rules
    submission: Submission
    declared: tuple[DeclaredCell, ...]
    broken: tuple[tuple[str, str], ...] = ()
    evidence: VerifiedEvidence | None = None

    def declared_of(self, cell: Cell) -> dict[str, float]:
        """Declared figures of a cell."""
        return {name: value for each in self.declared if each.is_of(cell) for name, value in each.figures.items()}

    def repeated(self, cell: Cell, name: str) -> Repeated | None:
        """A figure in the repeats of a cell that tell it; None where none does."""
        found = tuple(repeat.figures[name] for repeat in self.cells[cell] if name in repeat.figures)
        return Repeated(found) if found else None

    @cached_property
    def _pooled(self) -> dict[str, Pooled | None]:
        names = dict.fromkeys(name for repeats in self.cells.values() for each in repeats for name in each.figures)
        return {name: pooled(self._steady(name)) for name in names}

    def _steady(self, name: str) -> Iterator[Repeated]:
        """A figure of the cells whose repeats lie as close together as the rules ask: an outlying run says nothing of
        other cells (Cochran's test serves the same end in ISO 5725-2:2019, 7.3.3)."""
        limits = self.rules.repeats.spread
        place = row_for(name, tuple(each.metric for each in limits))
        most = math.inf if place is None else limits[place].most.value
        for cell in self.cells:
            repeated = self.repeated(cell, name)
            if repeated is not None and (repeated.cv is None or repeated.cv <= most):
                yield repeated

    def uncertainty(self, cell: Cell, name: str) -> Expanded | None:
        """Of the median of a figure; None where neither repeats nor an instrument are known."""
        repeated, instrument = self.repeated(cell, name), self.instrument(name)
        if repeated is None or instrument is None:
            return None
        return of_median(repeated, self._pooled[name], instrument, self.rules.uncertainty.coverage_factor.value)

    def instrument(self, name: str) -> float | None:
        """Relative standard uncertainty of the instrument: as the submission states it, else as the rules do."""
        own = tuple(self.submission.uncertainty)
        place = row_for(name, own)
        if place is not None:
            return self.submission.uncertainty[own[place]]
        instruments = self.rules.uncertainty.instruments
        place = row_for(name, tuple(each.metric for each in instruments))
        return None if place is None else instruments[place].relative.value

    def files(self, cell: Cell) -> tuple[str, ...]:
        """Files of all repeats of a cell."""
        return tuple(dict.fromkeys(file for repeat in self.cells[cell] for file in repeat.files))
