"""What one of two labs measured: cells with their repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from npusim.errors import UserError
from npusim.evidence.measured.importer import import_table
from npusim.inputs import is_folder
from npusim.lab.cells import Cell, Repeat, cells_of
from npusim.lab.certify.rules_file import row_for
from npusim.lab.certify.submission import FILE, Submission, load_submission
from npusim.lab.files.folder import Unread, hand_in
from npusim.lab.files.lab_run import LabRun
from npusim.lab.files.table_runs import table_runs
from npusim.lab.repeatability import Pooled, Repeated, of_mean, pooled


@dataclass(frozen=True)
class Uncertain:
    """A mean with its standard uncertainty; standard None: not known, for the reason that basis tells."""

    mean: float
    runs: int
    standard: float | None
    basis: str


@dataclass(frozen=True)
class ComparedLab:
    """name: as both are told apart; cells: with their repeats."""

    name: str
    cells: Mapping[Cell, tuple[Repeat, ...]]
    submission: Submission
    unread: tuple[Unread, ...]

    def repeated(self, cell: Cell, name: str) -> Repeated | None:
        """A figure in the repeats of a cell; None where none tells it."""
        found = tuple(repeat.figures[name] for repeat in self.cells[cell] if name in repeat.figures)
        return Repeated(found) if found else None

    def figures(self, cell: Cell) -> tuple[str, ...]:
        """Figures of a cell by npusim's names."""
        return tuple(dict.fromkeys(name for repeat in self.cells[cell] for name in repeat.figures))

    @cached_property
    def _pooled(self) -> dict[str, Pooled | None]:
        names = dict.fromkeys(name for cell in self.cells for name in self.figures(cell))
        return {name: pooled(filter(None, (self.repeated(cell, name) for cell in self.cells))) for name in names}

    def uncertain(self, cell: Cell, name: str) -> Uncertain:
        """The mean of a figure. Its uncertainty is that of its repeats, of one run that of the lab's other cells
        (ISO 5725-2:2019, 7.4: they share one repeatability), with what the lab states of its instrument."""
        repeated = self.repeated(cell, name)
        assert repeated is not None
        told = tuple(self.submission.uncertainty)
        place = row_for(name, told)
        stated = 0.0 if place is None else self.submission.uncertainty[told[place]]
        standard = of_mean(repeated, stated)
        if standard is not None:
            return Uncertain(repeated.mean, repeated.n, standard, "repeats of the cell")
        common = self._pooled[name]
        if common is not None:
            standard = math.hypot(common.cv, stated) * repeated.mean
            return Uncertain(repeated.mean, repeated.n, standard, "repeats of the lab's other cells")
        if stated:
            return Uncertain(repeated.mean, repeated.n, stated * repeated.mean, "stated by the lab")
        return Uncertain(repeated.mean, repeated.n, None, "one run, and no uncertainty is stated")


def read_lab(path: Path) -> ComparedLab:
    """What a lab handed over, a file or a folder with or without a submission. Raises UserError."""
    submission = load_submission(path) if is_folder(path) else Submission()
    handed = hand_in(path)
    runs, unread = list(handed.runs), [each for each in handed.unread if Path(each.location).name != FILE]
    for table in handed.tables:
        try:
            runs += _of_table(table)
        except UserError as error:
            if table == path:
                raise
            unread.append(Unread(str(table), f"not read: {error}", broken=True))
    told = submission.conditions.of_run()
    runs = [replace(run, setting=told.told_or(run.setting)) for run in runs]
    return ComparedLab(str(path), cells_of(runs), submission, tuple(unread))


def _of_table(path: Path) -> list[LabRun]:
    """Serving runs of one of npusim's measured tables. Raises UserError for a table of another kind."""
    imported = import_table(path, None)
    if not imported.kind.runs:
        raise UserError(str(path), "", "is no table of serving runs; give one")
    arch = next((case.predictor.arch for case in imported.cases), None)
    found = []
    for _, run in table_runs(path, imported.table.frame):
        device = run.setting.device or arch
        found.append(replace(run, setting=replace(run.setting, device=device)))
    return found
