"""Calibration: measured tables move the ranged numbers of an architecture and its runtimes; an overlay says how far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime, load_system
from npusim.hardware.draws import RangedNumber, ranged_numbers
from npusim.hardware.overlay import CalibratedNumber, Overlay, Residual
from npusim.hardware.system import System
from npusim.studies.conformal import GROUPS_FOR_COVERAGE, half_width
from npusim.studies.measured.case import Case, Numbers
from npusim.studies.measured.importer import import_table
from npusim.studies.posterior import (
    DISCREPANCY,
    Fit,
    maximum_a_posteriori,
    run_weights,
    sensitive,
    value_at,
)

FOLDS = 5
_FARTHEST_PREDICTION = 1e3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """parameters: {label: {prior, value, sd, unit, identified}}; errors are mean |predicted / measured - 1|."""

    overlay: Overlay
    parameters: dict[str, dict[str, Any]]
    mape_before: float
    mape_after: float
    left_out_mape: float
    cases: int
    skipped: int


class Problem:
    """Cases of one architecture and the ranged numbers that they could move."""

    def __init__(self, system: System, cases: Sequence[Case], seed: int) -> None:
        self.cases = list(cases)
        self._seed = seed
        self._base = Numbers.of(system)
        drivers = {name for name in self._base.runtimes}
        self.numbers = _distinct(
            number
            for name in sorted(drivers)
            for number in ranged_numbers(system, load_runtime(name, system.chip.unit.kind))
        )
        self.chosen = list(range(len(self.numbers)))
        subjects = {case.subject for case in self.cases}
        self._subjects = sorted(subjects, key=lambda subject: repr(subject))

    def choose(self, which: np.ndarray) -> None:
        """Keep only these of the chosen numbers free."""
        self.chosen = [index for index, keep in zip(self.chosen, which, strict=True) if keep]

    def numbers_at(self, z: np.ndarray) -> Numbers:
        """All numbers, the chosen ones at the coordinates `z`."""
        machine = self._base.machine.copy()
        runtimes = {name: record.copy() for name, record in self._base.runtimes.items()}
        for index, coordinate in zip(self.chosen, z, strict=True):
            for number in self.numbers[index]:
                target = runtimes.get(number.owner, machine)
                value = value_at(number, float(coordinate))
                if number.place is None:
                    target[number.name] = value
                else:
                    target[number.name][:, number.place] = value
        return replace(self._base, machine=machine, runtimes=runtimes)

    def log_errors(self, z: np.ndarray) -> np.ndarray:
        """log(predicted / measured) of every case."""
        numbers = self.numbers_at(z)
        figures = {subject: subject.predict(numbers, self._seed) for subject in self._subjects}
        predicted = np.array([figures[case.subject][case.figure] for case in self.cases])
        measured = np.array([case.measured for case in self.cases])
        ratio = predicted / measured
        return np.log(np.clip(np.nan_to_num(ratio, nan=1.0), 1.0 / _FARTHEST_PREDICTION, _FARTHEST_PREDICTION))

    def part(self, keep: np.ndarray) -> Problem:
        """The same problem over some of its cases."""
        other = object.__new__(Problem)
        other.__dict__.update(self.__dict__)
        other.cases = [case for case, kept in zip(self.cases, keep, strict=True) if kept]
        subjects = {case.subject for case in other.cases}
        other._subjects = [subject for subject in self._subjects if subject in subjects]
        other.chosen = list(self.chosen)
        return other

    def fit(self) -> Fit:
        """Maximum a posteriori of the chosen numbers."""
        deviations = np.array([np.hypot(case.sigma, DISCREPANCY) for case in self.cases])
        weights = run_weights([case.run for case in self.cases])
        return maximum_a_posteriori(self.log_errors, len(self.chosen), deviations, weights)


def _distinct(numbers: Any) -> list[list[RangedNumber]]:
    """Numbers that are one: those of equal field and certificate in one owner (a value shared by several paths)."""
    groups: dict[tuple[Any, ...], dict[str, RangedNumber]] = {}
    for number in numbers:
        key = (number.owner, number.name, number.quantity)
        groups.setdefault(key, {})[number.label] = number
    return [list(members.values()) for members in groups.values()]


def calibrate(
    tables: Sequence[Path], arch: str, name: str, date: str, seed: int = 0, say: Say | None = None
) -> Calibration:
    """Fit the numbers of `arch` to the tables. Raises UserError where no row can be predicted."""
    tell = say or (lambda _: None)
    system = load_system(arch, uncalibrated=True)
    cases, skipped = _all_cases(tables, arch)
    if not cases:
        raise UserError(str(tables[0]), "", f"no row can be predicted for {arch}; nothing to calibrate with")
    problem = Problem(system, cases, seed)
    problem.choose(sensitive(problem.log_errors, len(problem.chosen)))
    tell(f"{len(cases)} figures move {len(problem.chosen)} numbers")
    before = problem.log_errors(np.zeros(len(problem.chosen)))
    fit = problem.fit()
    after = problem.log_errors(fit.z)
    tell(f"mean error {_mape(before):.3f} before, {_mape(after):.3f} after")
    left_out = _left_out(problem, seed, tell)
    sources = ", ".join(path.name for path in tables)
    overlay = Overlay(
        name=name,
        arch=system.name,
        date=date,
        source=f"fitted to {sources} ({len(cases)} figures); see validation/README.md",
        numbers=tuple(number for index in range(len(problem.chosen)) for number in _calibrated(problem, fit, index)),
        correlation=_correlation(problem, fit),
        residuals=_residuals(problem.cases, left_out),
    )
    return Calibration(
        overlay, _parameters(problem, fit), _mape(before), _mape(after), _mape(left_out), len(cases), skipped
    )


def _all_cases(tables: Sequence[Path], arch: str) -> tuple[list[Case], int]:
    cases: list[Case] = []
    skipped = 0
    for path in tables:
        found = import_table(path, arch)
        cases += [replace(case, run=f"{path.name}:{case.run}") for case in found.cases]
        skipped += len(found.skips)
    return cases, skipped


def _left_out(problem: Problem, seed: int, tell: Say) -> np.ndarray:
    """log errors of every case under a fit that has not seen its group; groups go to folds by a seeded shuffle."""
    groups = sorted({case.group for case in problem.cases})
    order = np.random.default_rng(seed).permutation(len(groups))
    count = min(FOLDS, len(groups))
    if count < 2:
        return np.full(len(problem.cases), np.nan)
    fold_of = {groups[index]: place % count for place, index in enumerate(order)}
    folds = np.array([fold_of[case.group] for case in problem.cases])
    errors = np.zeros(len(problem.cases))
    for fold in range(count):
        held = folds == fold
        fit = problem.part(~held).fit()
        errors[held] = problem.part(held).log_errors(fit.z)
        tell(f"fold {fold + 1} of {count}: mean error {_mape(errors[held]):.3f} on groups left out")
    return errors


def _mape(log_errors: np.ndarray) -> float:
    return float(np.mean(np.abs(np.expm1(log_errors))))


def _calibrated(problem: Problem, fit: Fit, index: int) -> list[CalibratedNumber]:
    tail = float(norm.ppf(0.95))
    members = problem.numbers[problem.chosen[index]]
    z, sd = float(fit.z[index]), float(fit.sd[index])
    made = []
    for number in members:
        unit = f" {number.quantity.unit}" if number.quantity.unit else ""
        value, low, high = (value_at(number, at) for at in (z, z - tail * sd, z + tail * sd))
        made.append(
            CalibratedNumber(
                owner=number.owner,
                path=number.label,
                value=f"{value:.6g}{unit}",
                sd=f"{(high - low) / (2.0 * tail):.3g}{unit}",
                low=f"{min(low, float(f'{value:.6g}')):.6g}{unit}",
                high=f"{max(high, float(f'{value:.6g}')):.6g}{unit}",
                prior=number.quantity.text,
                identified=round(sd, 3),
            )
        )
    return made


def _correlation(problem: Problem, fit: Fit) -> tuple[tuple[float, ...], ...]:
    """Lower triangle over the overlay's numbers, members of one coordinate fully correlated."""
    owner = [index for index, chosen in enumerate(problem.chosen) for _ in problem.numbers[chosen]]
    matrix = fit.covariance / np.outer(fit.sd, fit.sd)
    return tuple(
        tuple(round(float(matrix[owner[row], owner[column]]), 3) for column in range(row)) for row in range(len(owner))
    )


def _parameters(problem: Problem, fit: Fit) -> dict[str, dict[str, Any]]:
    parameters = {}
    for index in range(len(problem.chosen)):
        for number, calibrated in zip(
            problem.numbers[problem.chosen[index]], _calibrated(problem, fit, index), strict=True
        ):
            parameters[f"{number.owner}.{number.label}"] = {
                "prior": number.quantity.value,
                "value": value_at(number, float(fit.z[index])),
                "sd": float(calibrated.sd.split()[0]),
                "unit": number.quantity.unit,
                "identified": calibrated.identified,
            }
    return parameters


def _residuals(cases: Sequence[Case], left_out: np.ndarray) -> tuple[Residual, ...]:
    keys = sorted({(case.metric, case.dimensions.get("phase", case.dimensions.get("op", "run"))) for case in cases})
    made = []
    for metric, regime in keys:
        places = [
            index
            for index, case in enumerate(cases)
            if case.metric == metric and case.dimensions.get("phase", case.dimensions.get("op", "run")) == regime
        ]
        if np.isnan(left_out[places]).any():
            continue
        width, groups = half_width(left_out[places], [cases[index].group for index in places])
        made.append(
            Residual(
                metric=metric,
                regime=regime,
                groups=groups,
                half_width=round(width, 4),
                enough=groups >= GROUPS_FOR_COVERAGE,
            )
        )
    return tuple(made)
