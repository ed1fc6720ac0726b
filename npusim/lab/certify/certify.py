"""A folder of raw results, clause by clause of the rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.inputs import is_file, is_folder, read_bytes
from npusim.lab.cells import Cell, cells_of
from npusim.lab.certify.acceptance import acceptance
from npusim.lab.certify.clause import Clause, overall
from npusim.lab.certify.conditions import conditions
from npusim.lab.certify.conduct import conduct
from npusim.lab.certify.files_read import files_read
from npusim.lab.certify.handed import Handed
from npusim.lab.certify.kept import kept, opened_folder
from npusim.lab.certify.physical import physical
from npusim.lab.certify.repeats import repeats
from npusim.lab.certify.rules_file import Rules
from npusim.lab.certify.submission import FILE, DeclaredCell, Submission, load_submission
from npusim.lab.check.result import CheckResult, check_measured
from npusim.lab.check.row import CheckedRow
from npusim.lab.files.files import MOST_BYTES
from npusim.lab.files.folder import hand_in
from npusim.lab.files.formats.sensors import READ_WITH_SUMMARY
from npusim.lab.files.lab_run import LabRun
from npusim.metric_names import resolve

PARTS = (kept, files_read, repeats, conduct, physical, acceptance, conditions)
"""The parts of a procedure, in the order in which they are told."""


@dataclass(frozen=True)
class Certified:
    """folder: that was handed in; clauses: in the order of PARTS; hashes: SHA-256 of every file, by its path."""

    folder: Path
    handed: Handed
    clauses: tuple[Clause, ...]
    hashes: Mapping[str, str]
    unread: tuple[tuple[str, str], ...]

    @property
    def verdict(self) -> str:
        """Of all clauses."""
        return overall(clause.verdict for clause in self.clauses)

    def verdict_of(self, cell: Cell | None) -> str:
        """Of the clauses of a cell, or of those of no cell."""
        return overall(clause.verdict for clause in self.clauses if clause.cell == cell)

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the contract."""
        rules = self.handed.rules
        return {
            "verdict": self.verdict,
            "rules": {"name": rules.name, "title": rules.title, "source": rules.source},
            "clauses": [clause.as_dict() for clause in self.clauses],
            "cells": [self._cell(cell) for cell in self.handed.cells],
            "environment": self.handed.submission.environment.model_dump(),
            "files": [{"file": file, "sha256": digest} for file, digest in self.hashes.items()],
            "unread": [{"place": place, "reason": reason} for place, reason in self.unread],
        }

    def _cell(self, cell: Cell) -> dict[str, Any]:
        """All runs of a cell, and what is reported of it."""
        handed = self.handed
        names = dict.fromkeys(name for repeat in handed.cells[cell] for name in repeat.figures)
        return {
            **cell.as_dict(),
            "verdict": self.verdict_of(cell),
            "runs": [
                {"files": list(each.files), "figures": {name: one.value for name, one in each.figures.items()}}
                for each in handed.cells[cell]
            ],
            "figures": {name: self._figure(cell, name) for name in names},
        }

    def _figure(self, cell: Cell, name: str) -> dict[str, Any]:
        repeated = self.handed.repeated(cell, name)
        assert repeated is not None
        known = self.handed.uncertainty(cell, name)
        return {
            "median": repeated.median,
            "mean": repeated.mean,
            "runs": repeated.n,
            "cv": repeated.cv,
            "standard_uncertainty": None if known is None else known.standard,
            "coverage_factor": None if known is None else known.k,
            "expanded_uncertainty": None if known is None else known.expanded,
            "declared": self.handed.declared_of(cell).get(name),
        }


def certify_folder(
    folder: Path, rules: Rules, declared: tuple[DeclaredCell, ...] | None, seed: int, say: Callable[[str], None]
) -> Certified:
    """The verdict of every clause on a folder of raw results. declared: in place of what the submission declares.

    Raises UserError.
    """
    if not is_folder(folder):
        raise UserError(str(folder), "", "no such folder; give the folder of the raw results")
    folder, evidence = opened_folder(folder)
    submission = load_submission(folder)
    found = check_measured(folder, submission.conditions.for_check(), seed, say)
    handed = Handed(
        cells_of([_as_run(row, submission) for row in found.rows]),
        {row.location: row for row in found.rows},
        {run.location: run.setting for run in hand_in(folder).runs},
        rules,
        submission,
        submission.declared if declared is None else declared,
        tuple((each.location, each.reason) for each in found.unread if each.broken),
        evidence,
    )
    clauses = tuple(clause for part in PARTS for clause in part(handed))
    return Certified(folder, handed, clauses, _hashes(folder, found), _unread(folder, found))


def _as_run(row: CheckedRow, submission: Submission) -> LabRun:
    """A row of the check as a run, under what the submission tells."""
    figures = {resolve(figure.metric): figure.measured for figure in row.figures}
    setting = submission.conditions.of_run().told_or(row.setting)
    return LabRun(row.location, row.tool, setting, figures, row.conduct)


def _hashes(folder: Path, found: CheckResult) -> dict[str, str]:
    """Every file of the folder that was looked at, in the order of their names; the submission among them."""
    files = {*found.files, *(Path(each.location) for each in found.unread), folder / FILE}
    files = {file for file in files if is_file(file) and file.resolve().is_relative_to(folder.resolve())}
    return {str(file): hashlib.sha256(read_bytes(file, MOST_BYTES)).hexdigest() for file in sorted(files)}


def _unread(folder: Path, found: CheckResult) -> tuple[tuple[str, str], ...]:
    """Files of which nothing was read, with the reason."""
    own = str(folder / FILE)
    return tuple(
        (each.location, each.reason)
        for each in found.unread
        if each.location != own and each.reason != READ_WITH_SUMMARY
    )
