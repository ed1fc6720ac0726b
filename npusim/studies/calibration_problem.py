"""Measured cases of one architecture and the ranged numbers that they can move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from npusim.hardware.catalog import load_runtime
from npusim.hardware.draws import RangedNumber, ranged_numbers
from npusim.hardware.system import System
from npusim.ledger import Quantity
from npusim.studies.measured.case import Case, Numbers
from npusim.studies.posterior import DISCREPANCY, Fit, maximum_a_posteriori, run_weights, value_at

_FARTHEST_PREDICTION = 1e3


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
