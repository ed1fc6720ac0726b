"""Fitting: measured tables move the ranged numbers of an architecture and its runtimes; a calibration says how far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.evidence.calibration.cross_validation import (
    GROUP,
    KEYS,
    Unseen,
    leave_out,
    left_out_summaries,
    mape,
    residuals,
)
from npusim.evidence.calibration.fitted import fitted_correlation, fitted_numbers, fitted_parameters
from npusim.evidence.calibration.misfit import Misfit, Stretched, misfits, stretched_numbers, unmoved
from npusim.evidence.calibration.problem import Problem
from npusim.evidence.calibration.questions import require_plausible
from npusim.evidence.measured.case import Case
from npusim.evidence.measured.importer import import_table
from npusim.evidence.measured.step_table import StepTable, step_cases
from npusim.evidence.measured.tables import MeasuredTable
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import load_system
from npusim.hardware.system import System
from npusim.words import Tell

_TOLD = 3
"""Misfits that the source of a calibration names."""


@dataclass(frozen=True)
class TableErrors:
    """Mean |predicted / measured - 1| of a kind of table: before and after the fit, and cross-validated."""

    figures: int
    before: float
    after: float
    left_out: float


@dataclass(frozen=True)
class FittedCalibration:
    """parameters: {owner.path: {prior, value, sd, unit, identified}}; errors are mean |predicted / measured - 1|.

    left_out_mape: NaN where all runs are one group; tables: errors by kind of table; cases: figures fitted to;
    skipped: rows and figures that cannot be predicted; unmoved: numbers of the architecture and of the runtimes that
    ran, as unknown as before; misfits: groups of figures that the fit does not meet; stretched: numbers that it pulled
    out of their ranges.
    """

    calibration: Calibration
    parameters: dict[str, dict[str, Any]]
    mape_before: float
    mape_after: float
    left_out_mape: float
    tables: dict[str, TableErrors]
    cases: int
    skipped: int
    unmoved: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    stretched: tuple[Stretched, ...] = ()


def fit_calibration(
    tables: Sequence[Path],
    arch: str,
    name: str,
    date: str,
    seed: int = 0,
    say: Tell | None = None,
    shared: bool = False,
    steps: StepTable | None = None,
) -> FittedCalibration:
    """Fit the numbers of `arch` to the tables. Raises UserError where no row can be predicted, or none moves a number.

    name, date: of the calibration; say: called with the progress; shared: fit the assumptions too that all chips share;
    steps: a step table of any lab beside the tables, or without any.
    """
    tell = say or (lambda _: None)
    system = load_system(arch, uncalibrated=True)
    paths = [*tables, *([] if steps is None else [steps.path])]
    problem, skipped = _problem(tables, steps, arch, system, seed, shared, tell)
    slopes = problem.choose_sensitive()
    count, figures = len(problem.chosen), len(problem.cases)
    if not count:
        raise UserError(str(paths[0]), "", f"no number with a range moves its figures; give {arch} ranges to fit in")
    tell(f"{figures} figures move {count} numbers")
    _tell_left(problem, tell)
    before = problem.log_errors(np.zeros(count))
    fit = problem.fit(slopes)
    after = problem.log_errors(fit.z)
    tell(f"mean error {mape(before):.3f} before, {mape(after):.3f} after")
    unseen = {by: found for by in KEYS if (found := leave_out(problem, fit, by, tell)) is not None}
    left_out = unseen.get(GROUP)
    if left_out is None:
        tell("all figures are one group, so that none can be left out and predicted")
    parameters = fitted_parameters(problem, fit)
    unmet = misfits(problem.cases, after, problem.deviations)
    beyond = stretched_numbers(problem, fit, {key: float(number["value"]) for key, number in parameters.items()})
    calibration = Calibration(
        name=name,
        arch=system.name,
        date=date,
        source=_source(paths, figures, unmet, beyond),
        numbers=fitted_numbers(problem, fit),
        correlation=fitted_correlation(problem, fit),
        residuals=() if left_out is None else residuals(problem.cases, left_out),
        left_out=tuple(part for each in unseen.values() for part in left_out_summaries(problem.cases, each, seed)),
    )
    return FittedCalibration(
        calibration,
        parameters,
        mape(before),
        mape(after),
        math.nan if left_out is None else mape(left_out.errors),
        _by_table(problem.cases, before, after, left_out),
        figures,
        skipped,
        unmoved(problem, fit),
        unmet,
        beyond,
    )


def _tell_left(problem: Problem, tell: Tell) -> None:
    still = sorted({f"{members[0].owner}.{members[0].label}" for members in problem.left})
    if still:
        tell(f"{len(still)} numbers with a range move none of them and stay as described: {', '.join(still)}")


def _source(paths: Sequence[Path], figures: int, unmet: Sequence[Misfit], beyond: Sequence[Stretched]) -> str:
    """What the calibration was fitted to, and what of it was not met."""
    told = ", ".join(f"{path.parent.resolve().name}/{path.name}" for path in paths)
    parts = [f"fitted to {told} ({figures} figures)"]
    if unmet:
        parts.append(f"does not meet {', '.join(map(str, unmet[:_TOLD]))}{_and_more(unmet)}")
    if beyond:
        parts.append(f"beyond the described ranges: {', '.join(map(str, beyond[:_TOLD]))}{_and_more(beyond)}")
    return "; ".join(parts)


def _and_more(told: Sequence[object]) -> str:
    return f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""


def _problem(
    tables: Sequence[Path],
    steps: StepTable | None,
    arch: str,
    system: System,
    seed: int,
    shared: bool,
    tell: Tell,
) -> tuple[Problem, int]:
    """The problem over every figure that is predicted at the priors' centre, and how many rows and figures are not."""
    cases, skipped = _all_cases(tables, arch, system)
    told = None if steps is None else step_cases(steps, arch)
    first = len(cases)
    if told is not None:
        cases += told.cases
        skipped += told.skipped
        if told.columns.unread:
            tell(f"{told.columns.path}: columns that are not read: {', '.join(told.columns.unread)}")
    problem = Problem(system, cases, seed, shared, apart=told is not None)
    values = problem.predicted(np.zeros(len(problem.chosen)))
    if told is not None:
        require_plausible(told, values[first:], arch, seed)
    predicted = np.isfinite(values)
    if not predicted.any():
        raise UserError(str(tables[0]), "", f"no row can be predicted for {arch}; nothing to calibrate with")
    return problem.part(predicted), skipped + int((~predicted).sum())


def _all_cases(tables: Sequence[Path], arch: str, system: System) -> tuple[list[Case], int]:
    cases: list[Case] = []
    skipped = 0
    for path in tables:
        found = import_table(path, arch)
        _require_own_chip(found.table, system)
        known = {_told(case) for case in cases}
        new = [case for case in found.cases if _told(case) not in known]
        cases += [replace(case, run=f"{path}:{case.run}") for case in new]
        skipped += len(found.skips) + len(found.cases) - len(new)
    return cases, skipped


def _told(case: Case) -> tuple[str, ...]:
    """What two tables that tell of one run have in common: where it ran, its load, and the figure with its value."""
    load = (case.dimensions.get(name, "") for name in ("isl", "concurrency"))
    return (case.kind, case.group, case.metric, repr(case.measured), *load)


def _require_own_chip(table: MeasuredTable, system: System) -> None:
    own = {name.lower() for name in (system.name, system.title, *system.aliases)}
    if table.chip and table.chip.lower() not in own:
        raise UserError(
            str(table.path),
            "chip",
            f"was measured on {table.chip}, not on {system.name}; calibrate the architecture that was measured",
        )


def _by_table(
    cases: Sequence[Case], before: np.ndarray, after: np.ndarray, left_out: Unseen | None
) -> dict[str, TableErrors]:
    kinds = np.array([case.kind for case in cases])
    found = {}
    for kind in dict.fromkeys(kinds.tolist()):
        own = kinds == kind
        held = math.nan if left_out is None else mape(left_out.errors[own])
        found[kind] = TableErrors(int(own.sum()), mape(before[own]), mape(after[own]), held)
    return found
