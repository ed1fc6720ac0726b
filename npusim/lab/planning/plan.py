"""A sampling plan: hidden cells first, by lot; then those that tell most of the rest, as long as there is time."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.hardware.draws import range_z
from npusim.lab.planning.candidates import Candidate, Unfit
from npusim.lab.planning.gains import Knowledge, greedy
from npusim.lab.planning.sampling_file import Sampling
from npusim.mapping.deployment import Deployment
from npusim.serving.unexplained import unexplained


@dataclass(frozen=True)
class ChosenCell:
    """A cell of the plan. gain: part of the predictions' variance that it takes away, after those before it."""

    cell: Candidate
    gain: float
    hidden: bool

    def as_dict(self) -> dict[str, Any]:
        cell = self.cell
        return {
            "chip": cell.chip,
            "model": cell.model,
            "precision": cell.precision,
            "cards": cell.cards,
            "isl": cell.isl,
            "osl": cell.osl,
            "concurrency": cell.users,
            "gain": self.gain,
            "minutes": cell.minutes,
            "runs": cell.runs,
            "seconds_per_run": cell.seconds,
            "hidden": self.hidden,
        }


@dataclass(frozen=True)
class TestPlan:
    """cells: in the order in which they are chosen; left: part of the variance that stays; unfit: cells that cannot be
    measured; others: cells that could be and are not."""

    cells: tuple[ChosenCell, ...]
    left: float
    unfit: tuple[Unfit, ...]
    others: int
    budget_minutes: float

    @property
    def minutes(self) -> float:
        return sum(each.cell.minutes for each in self.cells)

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the contract; hours beside the minutes of the cells."""
        return {
            "cells": [each.as_dict() for each in self.cells],
            "hours": self.minutes / _PER_HOUR,
            "budget_hours": self.budget_minutes / _PER_HOUR,
            "variance_removed": 1.0 - self.left,
            "not_chosen": self.others,
            "unfit": [
                {"model": each.model, "isl": each.isl, "osl": each.osl, "concurrency": each.users,
                 "reason": each.reason} for each in self.unfit
            ],
        }  # fmt: skip


_PER_HOUR = 60.0
"""Minutes of an hour."""


def plan_cells(
    found: Sequence[Candidate | Unfit],
    deployment: Deployment,
    sampling: Sampling,
    hours: float,
    hidden: float,
    seed: int,
) -> TestPlan:
    """The plan for so many hours, of which the part `hidden` is for hidden cells. deployment: any of the chip.

    Raises UserError where not one cell has time.
    """
    cells = [each for each in found if isinstance(each, Candidate)]
    unfit = tuple(each for each in found if isinstance(each, Unfit))
    if not cells:
        reason = unfit[0].reason if unfit else "the grid has no cell"
        raise UserError("plan-tests", "", f"no cell can be measured: {reason}")
    budget = hours * _PER_HOUR
    shortest = min(each.minutes for each in cells)
    if shortest > budget:
        raise UserError(
            "--budget", "", f"the shortest cell takes {shortest:.3g} minutes; give {shortest / 60:.2g} hours"
        )
    start = _knowledge(cells, deployment, sampling)
    lot = _by_lot(cells, hidden * budget, seed)
    gains = []
    for place in lot:
        gains.append((place, float(start.gains()[place])))
        start.measure(place)
    rest = budget - sum(cells[place].minutes for place in lot)
    ways = []
    for per_minute in (True, False):
        knowledge = copy.deepcopy(start)
        ways.append((greedy(knowledge, cells, rest, lot, per_minute=per_minute), knowledge.left))
    chosen, left = min(ways, key=lambda way: way[1])
    told = [ChosenCell(cells[place], gain, True) for place, gain in gains]
    told += [ChosenCell(cells[place], gain, False) for place, gain in chosen]
    return TestPlan(tuple(told), left, unfit, len(cells) - len(told), budget)


def _knowledge(cells: Sequence[Candidate], deployment: Deployment, sampling: Sampling) -> Knowledge:
    """What is known before any cell is measured: ranges of the inputs, and what a calibration left."""
    names = [each.metric for each in sampling.figures]
    left = np.array([unexplained(deployment.calibration, name) / range_z() for name in names]) ** 2
    noise = np.array([each.spread.value for each in sampling.figures]) ** 2 / cells[0].runs
    return Knowledge(cells, noise, left, sampling.common.value)


def _by_lot(cells: Sequence[Candidate], minutes: float, seed: int) -> list[int]:
    """Cells by lot, one of a shape of a model at a time so that all kinds have a part, as long as there is time."""
    rng = np.random.default_rng(seed)
    strata: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place in rng.permutation(len(cells)).tolist():
        cell = cells[place]
        strata[cell.model, cell.isl, cell.osl].append(place)
    keys = list(strata)
    order = [keys[index] for index in rng.permutation(len(keys)).tolist()]
    drawn: list[int] = []
    left = minutes
    while order:
        for key in list(order):
            place = strata[key].pop()
            if cells[place].minutes <= left:
                drawn.append(place)
                left -= cells[place].minutes
            if not strata[key]:
                order.remove(key)
    return drawn
