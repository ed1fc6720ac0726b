"""What a fit did not meet, what it stretched beyond its range, and what stayed as unknown as it was."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.evidence.calibration.posterior import Fit
from npusim.evidence.calibration.problem import Problem
from npusim.evidence.measured.case import Case

_UNMET = 2.0
"""Root mean square of a group's errors over their doubt, from which on the fit does not meet the group."""
_BEYOND = 2.0
"""Prior standard deviations from which on a fitted number is said to lie beyond its range, whose ends are at 1.645."""
SURER = 0.95
"""Posterior over prior standard deviation below which a number is surer than it was."""


@dataclass(frozen=True)
class Misfit:
    """A group of figures that the fit does not meet: of how many, and measured over predicted at its worst."""

    group: str
    figures: int
    worst: float

    def __str__(self) -> str:
        factor, how = (self.worst, "slower") if self.worst > 1.0 else (1.0 / self.worst, "faster")
        return f"{self.group} ({self.figures}, at worst {factor:.2f} times {how})"


@dataclass(frozen=True)
class Stretched:
    """A number that the figures want beyond the range in which it was described."""

    number: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.number} ({self.value:.3g}, described {self.low:.3g} to {self.high:.3g})"


def misfits(cases: Sequence[Case], log_errors: np.ndarray, deviations: np.ndarray) -> tuple[Misfit, ...]:
    """Groups whose errors, log(predicted / measured), are larger than their doubt, the worst first."""
    of_group: dict[str, list[int]] = defaultdict(list)
    for position, case in enumerate(cases):
        of_group[case.group].append(position)
    found = []
    for group, positions in of_group.items():
        standard = log_errors[positions] / deviations[positions]
        if math.sqrt(float(np.mean(standard**2))) > _UNMET:
            worst = float(log_errors[positions][np.argmax(np.abs(standard))])
            found.append(Misfit(group, len(positions), math.exp(-worst)))
    return tuple(sorted(found, key=lambda each: -abs(math.log(each.worst))))


def stretched_numbers(problem: Problem, fit: Fit, values: dict[str, float]) -> tuple[Stretched, ...]:
    """Fitted numbers beyond their ranges. values: by owner and path."""
    found = []
    for position, index in enumerate(problem.chosen):
        if abs(fit.z[position]) > _BEYOND:
            number = problem.numbers[index][0]
            name, quantity = f"{number.owner}.{number.label}", number.quantity
            found.append(Stretched(name, values[name], float(quantity.low or 0.0), float(quantity.high or 0.0)))
    return tuple(found)


def unmoved(problem: Problem, fit: Fit) -> tuple[str, ...]:
    """The ranged numbers of the architecture and of the runtimes that ran of which the figures say next to nothing."""
    owners = {problem.owner, *(case.predictor.runtime for case in problem.cases)}
    surer = {index for position, index in enumerate(problem.chosen) if fit.sd[position] < SURER}
    return tuple(
        sorted(
            f"{number.owner}.{number.label}"
            for index, members in enumerate(problem.numbers)
            if index not in surer
            for number in members
            if number.owner in owners
        )
    )
