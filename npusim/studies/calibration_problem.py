"""Measured cases of one architecture and the ranged numbers that they can move."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from npusim.errors import UserError
from npusim.hardware.draws import RangedNumber, ranged_numbers
from npusim.hardware.system import System
from npusim.ledger import Quantity
from npusim.studies.measured.case import Case, Numbers, Subject, drivers
from npusim.studies.posterior import DISCREPANCY, Fit, maximum_a_posteriori, run_weights, sensitive, value_at

_FARTHEST_PREDICTION = 1e3


class Problem:
    """Cases of one architecture, uncalibrated, and the ranged numbers that they could move.

    numbers: those of the architecture and of its runtimes, one list for each that is drawn as one; chosen: places of
    the free ones.
    """

    def __init__(self, system: System, cases: Sequence[Case], seed: int) -> None:
        self.cases = list(cases)
        self._seed = seed
        self._base = Numbers.of(system)
        self.numbers = _distinct(number for runtime in drivers(system) for number in ranged_numbers(system, runtime))
        self.chosen = list(range(len(self.numbers)))

    def choose(self, which: np.ndarray) -> None:
        """Keep only these of the chosen numbers free."""
        self.chosen = [index for index, keep in zip(self.chosen, which, strict=True) if keep]

    def choose_sensitive(self) -> None:
        """Keep only those of the chosen numbers free that move a prediction."""
        self.choose(sensitive(self.log_errors, len(self.chosen)))

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

    def predicted(self, z: np.ndarray) -> np.ndarray:
        """The prediction of every case, NaN where there is none."""
        numbers = self.numbers_at(z)
        figures = {
            subject: self._figures(subject, numbers) for subject in dict.fromkeys(case.subject for case in self.cases)
        }
        return np.array([figures[case.subject].get(case.figure, math.nan) for case in self.cases])

    def log_errors(self, z: np.ndarray) -> np.ndarray:
        """log(predicted / measured) of every case, 0 where there is no prediction."""
        ratio = self.predicted(z) / np.array([case.measured for case in self.cases])
        return np.log(np.clip(np.nan_to_num(ratio, nan=1.0), 1.0 / _FARTHEST_PREDICTION, _FARTHEST_PREDICTION))

    def part(self, keep: np.ndarray) -> Problem:
        """The same problem over some of its cases."""
        other = object.__new__(Problem)
        other.__dict__.update(self.__dict__)
        other.cases = [case for case, kept in zip(self.cases, keep, strict=True) if kept]
        other.chosen = list(self.chosen)
        return other

    def fit(self, start: np.ndarray | None = None) -> Fit:
        """Maximum a posteriori of the chosen numbers, sought from `start` (default: the priors' centre)."""
        deviations = np.array([np.hypot(case.sigma, DISCREPANCY) for case in self.cases])
        weights = run_weights([case.run for case in self.cases])
        return maximum_a_posteriori(self.log_errors, len(self.chosen), deviations, weights, start)

    def _figures(self, subject: Subject, numbers: Numbers) -> dict[str, float]:
        try:
            return subject.predict(numbers, self._seed)
        except UserError:
            return {}


def _distinct(numbers: Iterable[RangedNumber]) -> list[list[RangedNumber]]:
    """Numbers that are one: those of equal field and certificate in one owner (a value shared by several paths)."""
    groups: dict[tuple[str, str, Quantity], dict[str, RangedNumber]] = {}
    for number in numbers:
        groups.setdefault((number.owner, number.name, number.quantity), {})[number.label] = number
    return [list(members.values()) for members in groups.values()]
