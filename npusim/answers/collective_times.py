"""Times of several collectives on one fabric, on the described machine and on drawn ones, each machine for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npusim.answers.collective import GroupedCollective, neighbours, place_collective
from npusim.hardware.algorithms import ALGORITHMS, SCHEDULES
from npusim.hardware.catalog import calibration_of, load_runtime, load_system
from npusim.hardware.draws import draw
from npusim.hardware.machine import GROUP_TENSOR, PLACED, build_machine
from npusim.hardware.system import System
from npusim.kernels.collective import collective_time, fastest, schedule_time, stage_cost

_FREE = {"launch": 0.0, "step": 0.0, "message": 0.0, "efficiency": 1.0, "copy_bandwidth": 0.0}
"""A transport that costs nothing; a copy without a rate is hidden."""


@dataclass(frozen=True)
class AlphaBeta:
    """t = alpha_s + bytes / rate_bytes_per_s of a named algorithm; time_s: of the message asked for, which a message
    that is cut in chunks takes longer than that (`kernels.collective`)."""

    algorithm: str
    alpha_s: float
    rate_bytes_per_s: float
    time_s: float


class CollectiveTimes:
    """Times of `asked` on the fabric of `arch`.

    free_software: whether every algorithm is there and software costs nothing, so that the links alone take time, each
    at the best efficiency of its described range, since what moves the data is software's to choose.
    Raises UserError where nothing carries a collective out as asked.
    """

    def __init__(self, arch: str, asked: Sequence[GroupedCollective], free_software: bool = False) -> None:
        self._arch, self._free = arch, free_software
        self.asked = tuple(asked)
        self._system = _of_links(load_system(arch, uncalibrated=True)) if free_software else load_system(arch)
        described = build_machine(self._system)
        self._placed = {each: self._placing(described.copy(), self._system, each) for each in dict.fromkeys(asked)}
        self.described = self._times(described)
        """Seconds on the described machine, float64 (asked,); infinite where nothing carries it out."""

    def drawn(self, count: int, seed: int) -> np.ndarray:
        """Seconds on `count` machines drawn from all ranges, float64 (count, asked)."""
        runtime = load_runtime(self._system.runtime, self._system.chip.unit.kind)
        calibration = None if self._free else calibration_of(self._arch)
        machines, _ = draw(self._system, runtime, count, seed, calibration)
        return np.array([self._times(machines[index : index + 1]) for index in range(count)])

    def alpha_beta(self, index: int) -> AlphaBeta:
        """The fastest algorithm of one of the collectives on the described machine, and its two numbers."""
        asked = self.asked[index]
        machine = self._placed[asked][0]
        schedule, transport = fastest(asked.operation, asked.byte_count, GROUP_TENSOR, machine)
        fixed, per_byte = stage_cost(schedule, transport, GROUP_TENSOR, machine)
        time_s = float(schedule_time(schedule, transport, asked.byte_count, GROUP_TENSOR, machine))
        launch = float(machine["fabric_transports_launch"][transport])
        return AlphaBeta(SCHEDULES[schedule][1], launch + float(fixed), 1.0 / float(per_byte), time_s)

    def _placing(self, machine: np.ndarray, system: System, asked: GroupedCollective) -> np.ndarray:
        placed = place_collective(machine, system, asked, neighbours(system, asked))
        return _freed(placed, asked.algorithm) if self._free else placed

    def _times(self, machine: np.ndarray) -> np.ndarray:
        """On one machine, an array (1,) whose groups are placed anew for each collective."""
        found = []
        for asked in self.asked:
            own = machine.copy()
            for name in PLACED:
                own[name] = self._placed[asked][name]
            if self._free:
                _freed(own, asked.algorithm)
            found.append(float(collective_time(asked.operation, asked.byte_count, GROUP_TENSOR, own[0])))
        return np.array(found)


def _freed(machine: np.ndarray, algorithm: str | None) -> np.ndarray:
    """`machine` with one transport that costs nothing and runs every algorithm, or the one that is asked for."""
    machine["transport_serves"] = 0
    machine["transport_serves"][:, 0] = [algorithm in (None, name) for name in ALGORITHMS]
    for name, value in _FREE.items():
        machine[f"fabric_transports_{name}"] = value
    return machine


def _of_links(system: System) -> System:
    """The system with every link at the best efficiency of its range, which no draw moves."""
    fabric = system.server.fabric
    levels = []
    for level in fabric.levels:
        told = level.link.efficiency
        fixed = {"value": told.value if told.high is None else told.high, "low": None, "high": None}
        link = level.link.model_copy(update={"efficiency": told.model_copy(update=fixed)})
        levels.append(level.model_copy(update={"link": link}))
    server = system.server.model_copy(update={"fabric": fabric.model_copy(update={"levels": tuple(levels)})})
    return system.model_copy(update={"server": server})
