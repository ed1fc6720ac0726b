"""Measured cases of one architecture and the ranged numbers that they can move."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from npusim.errors import UserError
from npusim.evidence.calibration.posterior import (
    DISCREPANCY,
    FARTHEST_Z,
    Fit,
    laplace,
    maximum_a_posteriori,
    run_weights,
    sensitive,
    steps,
    value_at,
)
from npusim.evidence.measured.case import Case, Numbers, Predictor, drivers
from npusim.evidence.measured.sources import sources
from npusim.hardware.draws import RangedNumber, distinct, is_ranged, ranged_numbers
from npusim.hardware.system import System
from npusim.mapping.shared import shared_numbers

_FARTHEST_PREDICTION = 1e3
_ROUNDS = 2
"""Searches for the maximum, each from slopes taken where the last one ended."""

_Figures = dict[Predictor, dict[str, float]]


class Problem:
    """Cases of one architecture, uncalibrated, and the ranged numbers that they could move.

    numbers: those of the architecture, of its runtimes and of the tables' sources, and the assumptions that all chips
    share where `shared`, one list for each that is drawn as one, or each by itself where `apart`; chosen: indices of
    the free ones; owner: name of the architecture.
    """

    def __init__(
        self, system: System, cases: Sequence[Case], seed: int, shared: bool = False, apart: bool = False
    ) -> None:
        self.cases = list(cases)
        self._seed = seed
        self.owner = system.name
        self._base = Numbers.of(system).coarse()
        runtimes = drivers(system)
        own = (number for runtime in runtimes for number in ranged_numbers(system, runtime))
        common = [number for number in shared_numbers() if shared and is_ranged(number.quantity)]
        numbers = [*own, *sources().latent(), *common]
        self.numbers = [[number] for number in dict.fromkeys(numbers)] if apart else distinct(numbers)
        self.chosen = list(range(len(self.numbers)))
        predictors = list(dict.fromkeys(case.predictor for case in self.cases))
        elsewhere = {
            runtime.name: {each for each in predictors if each.runtime != runtime.name} for runtime in runtimes
        }
        self._reached = [set(predictors) - elsewhere.get(members[0].owner, set()) for members in self.numbers]

    @property
    def left(self) -> list[list[RangedNumber]]:
        """The numbers that are not free."""
        return [members for index, members in enumerate(self.numbers) if index not in set(self.chosen)]

    @property
    def deviations(self) -> np.ndarray:
        """Of each case's log error: its measurement's and the model's discrepancy."""
        return np.array([np.hypot(case.sigma, DISCREPANCY) for case in self.cases])

    @property
    def weights(self) -> np.ndarray:
        """Each case's share of its run."""
        return run_weights([case.run for case in self.cases])

    def choose_sensitive(self) -> np.ndarray:
        """Keep only the chosen numbers that the cases inform; returns their slopes at the priors' centre.

        What a number does not move there is not looked at again for it.
        """
        slopes = self.slopes(np.zeros(len(self.chosen)))
        keep = sensitive(slopes, self.deviations, self.weights)
        for position, index in enumerate(self.chosen):
            moved = np.flatnonzero(slopes[:, position])
            self._reached[index] = {self.cases[row].predictor for row in moved}
        self.chosen = [index for index, kept in zip(self.chosen, keep, strict=True) if kept]
        return slopes[:, keep]

    def numbers_at(self, z: np.ndarray) -> Numbers:
        """All numbers, the chosen ones at the coordinates `z`."""
        return self._base.replaced(
            {
                number: value_at(number, float(coordinate))
                for index, coordinate in zip(self.chosen, z, strict=True)
                for number in self.numbers[index]
            }
        )

    def predicted(self, z: np.ndarray) -> np.ndarray:
        """The prediction of every case, NaN where there is none."""
        return self._column(self._figures({case.predictor for case in self.cases}, self.numbers_at(z)))

    def log_errors(self, z: np.ndarray) -> np.ndarray:
        """log(predicted / measured) of every case, 0 where there is no prediction."""
        ratio = self.predicted(z) / np.array([case.measured for case in self.cases])
        return np.log(np.clip(np.nan_to_num(ratio, nan=1.0), 1.0 / _FARTHEST_PREDICTION, _FARTHEST_PREDICTION))

    def slopes(self, z: np.ndarray) -> np.ndarray:
        """Change of each case's log error with each chosen coordinate, (cases, chosen), from brief runs.

        A number is moved under the predictors only that it reaches.
        """
        own = {case.predictor for case in self.cases}
        low, high = self._bounds()
        base = self._figures(own, self.numbers_at(z).brief())
        found = np.zeros((len(self.cases), len(z)))
        for position, (index, step) in enumerate(zip(self.chosen, steps(z), strict=True)):
            reached = self._reached[index] & own
            step = step if low[position] <= z[position] + step <= high[position] else -step
            moved = z.copy()
            moved[position] += step
            figures = base | self._figures(reached, self.numbers_at(moved).brief())
            found[:, position] = np.log(self._column(figures) / self._column(base)) / step
        return np.where(np.isfinite(found), found, 0.0)

    def part(self, keep: np.ndarray) -> Problem:
        """The same problem over some of its cases."""
        other = object.__new__(Problem)
        other.__dict__.update(self.__dict__)
        other.cases = [case for case, kept in zip(self.cases, keep, strict=True) if kept]
        return other

    def fit(self, slopes: np.ndarray) -> Fit:
        """Maximum a posteriori of the chosen numbers from the priors' centre, where cases have these slopes."""
        z = np.zeros(len(self.chosen))
        for _ in range(_ROUNDS):
            z = self.refit(z, slopes).z
            slopes = self.slopes(z)
        return laplace(z, slopes, self.deviations, self.weights)

    def refit(self, start: np.ndarray, slopes: np.ndarray) -> Fit:
        """Maximum a posteriori of the chosen numbers near `start`, where cases have these slopes."""
        return maximum_a_posteriori(self.log_errors, slopes, self.deviations, self.weights, start, self._bounds())

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest coordinate of each chosen number: where its range has no side, none is sought."""
        ranges = [self.numbers[index][0].quantity for index in self.chosen]
        low = [0.0 if quantity.low == quantity.value else -FARTHEST_Z for quantity in ranges]
        high = [0.0 if quantity.high == quantity.value else FARTHEST_Z for quantity in ranges]
        return np.array(low), np.array(high)

    def _figures(self, predictors: Collection[Predictor], numbers: Numbers) -> _Figures:
        return {predictor: self._figures_of(predictor, numbers) for predictor in predictors}

    def _figures_of(self, predictor: Predictor, numbers: Numbers) -> dict[str, float]:
        try:
            return predictor.predict(numbers, self._seed)
        except UserError:
            return {}

    def _column(self, figures: _Figures) -> np.ndarray:
        return np.array([figures[case.predictor].get(case.figure, math.nan) for case in self.cases])
