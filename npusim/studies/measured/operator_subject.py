"""A single operator, alone in its graph: one row of an OpTable, costed by the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from npusim.errors import UserError
from npusim.hardware.catalog import load_system
from npusim.hardware.machine import UNIT_CONTRACTION_PROCESSOR
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.step import STEP_COST_DTYPE, cost_step
from npusim.mapping.specialise import step_path
from npusim.studies.measured.case import Numbers
from npusim.studies.measured.operator_rows import Fields, op_row
from npusim.studies.measured.step_subject import US_PER_S

_MS_PER_S = 1e3


class OperatorGraph(NamedTuple):
    """An operator alone: its row, array (1,) of OP_DTYPE, the records that it runs under, and the step's path."""

    row: np.ndarray
    machine: Any
    runtime: Any
    path: int


@dataclass(frozen=True)
class OperatorSubject:
    """fields: of the operator's row (operator_rows); prefilling: whose path's launch time holds.

    capped: False for a burst, during which the power limit acts only in part; pes: engines of a contraction processor
    that run it together, None for the runtime's own number; library: the GPU's kernel library that it was built with.
    """

    arch: str
    runtime: str
    fields: Fields
    prefilling: bool = False
    capped: bool = False
    pes: int | None = None
    library: str = ""

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, ms and power_w of one execution; link_us: its reduction alone."""
        cost = self.cost(numbers)
        return {
            "us": float(cost["time_s"]) * US_PER_S,
            "ms": float(cost["time_s"]) * _MS_PER_S,
            "power_w": float(cost["energy_j"] / cost["time_s"]),
            "link_us": float(cost["link_s"]) * US_PER_S,
        }

    def cost(self, numbers: Numbers) -> Any:
        """The operator's cost, a record of STEP_COST_DTYPE."""
        graph = self.graph(numbers)
        step = np.zeros(1, STEP_COST_DTYPE)
        costs = np.zeros(1, OPERATOR_COST_DTYPE)
        cost_step(graph.row, 1, graph.machine, graph.runtime, graph.path, costs, step[0])
        return step[0]

    def graph(self, numbers: Numbers) -> OperatorGraph:
        """The operator as a graph of its own, launched as those of the largest batch are."""
        machine, runtime = numbers.machine.copy(), numbers.runtimes[self.runtime].copy()
        if not self.capped:
            machine["settled"] = numbers.observation["operator_burst_settled"]
        runtime["paths_step_launch"] = 0.0
        if self.pes is not None:
            runtime["pe_fusion"] = self.pes
        if machine["unit_kind"][0] == UNIT_CONTRACTION_PROCESSOR:
            _as_own_graph(runtime)
        largest = int(runtime["limits_max_sequences"][0])
        row = op_row(self.fields)
        row["library"] = _library_place(self.arch, self.library)
        return OperatorGraph(row, machine[0], runtime[0], int(step_path(largest, self.prefilling, runtime[0])))


@dataclass(frozen=True)
class EagerSubject:
    """An operator that the host launches again and again: the loop takes at least its launch time each."""

    operator: OperatorSubject

    @property
    def arch(self) -> str:
        return self.operator.arch

    @property
    def runtime(self) -> str:
        return self.operator.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, ms and power_w; while the host launches, the chip draws its idle and loaded static power."""
        cost, machine = self.operator.cost(numbers), numbers.machine[0]
        busy_s = float(cost["time_s"])
        time_s = max(busy_s, numbers.observation["eager_launch"])
        static_w = float(machine["power_idle"] + machine["power_loaded_static"])
        power_w = (float(cost["energy_j"]) + (time_s - busy_s) * static_w) / time_s
        return {"us": time_s * US_PER_S, "ms": time_s * _MS_PER_S, "power_w": power_w}


@dataclass(frozen=True)
class ReductionSubject:
    """What an operator whose rows are split over engines takes for its reduction alone."""

    operator: OperatorSubject

    @property
    def arch(self) -> str:
        return self.operator.arch

    @property
    def runtime(self) -> str:
        return self.operator.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        return {"us": self.operator.predict(numbers, seed)["link_us"]}


@cache
def _library_place(arch: str, library: str) -> int:
    """Place of a GPU's kernel library among those of its kind. Raises UserError for one that it does not have."""
    unit = load_system(arch, uncalibrated=True).chip.unit
    if not library or unit.kind != "gpu":
        return 0
    for libraries in (unit.linear, unit.attention, unit.vector):
        names = [known.name for known in libraries]
        if library in names:
            return names.index(library)
    raise UserError(arch, library, "the chip describes no such kernel library")


def _as_own_graph(runtime: np.ndarray) -> None:
    """A graph of one operator has not the fixed times of served attention, and its activations pass through memory."""
    runtime["paths_attention_execution"] = 0.0
    runtime["activations_in_sram"] = False
