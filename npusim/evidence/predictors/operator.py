"""A single operator, alone in its graph: one row of an OpTable, costed by the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.operator_rows import Fields, op_row
from npusim.evidence.predictors.kernel_libraries import Libraries, choose, library_of
from npusim.hardware.units import KINDS, kind_of
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.step import STEP_COST_DTYPE, cost_step
from npusim.mapping.specialise import step_path
from npusim.units import MS_PER_S, US_PER_S


class OperatorGraph(NamedTuple):
    """An operator alone: its row, array (1,) of OP_DTYPE, the records that it runs under, and the step's path."""

    row: np.ndarray
    machine: Any
    runtime: Any
    path: int


@dataclass(frozen=True)
class OperatorPredictor:
    """fields: of the operator's row (operator_rows); prefilling: whose path's launch time holds.

    settled: the number of `observation` that says for what part of the loop's time the power limit acted; pes: engines
    of a contraction processor that run it together, None for the runtime's own number; libraries: the GPU's kernel
    libraries that it was built with, in place of the runtime's.
    """

    arch: str
    runtime: str
    fields: Fields
    prefilling: bool = False
    settled: str = "operator_burst_settled"
    pes: int | None = None
    libraries: Libraries = ()

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, ms and power_w of one execution; link_us: its reduction alone."""
        cost = self.cost(numbers)
        return {
            "us": float(cost["time_s"]) * US_PER_S,
            "ms": float(cost["time_s"]) * MS_PER_S,
            "power_w": float(cost["energy_j"] / cost["time_s"]),
            "link_us": float(cost["link_s"]) * US_PER_S,
        }

    def cost(self, numbers: Numbers) -> Any:
        """The operator's cost, a record of STEP_COST_DTYPE."""
        return self.costed(numbers)[1]

    def costed(self, numbers: Numbers) -> tuple[OperatorGraph, Any]:
        """The operator as a graph, its engines and what they hold set, and its cost, a record of STEP_COST_DTYPE."""
        graph = self.graph(numbers)
        step = np.zeros(1, STEP_COST_DTYPE)
        costs = np.zeros(1, OPERATOR_COST_DTYPE)
        cost_step(graph.row, 1, graph.machine, graph.runtime, graph.path, costs, step[0])
        return graph, step[0]

    def graph(self, numbers: Numbers) -> OperatorGraph:
        """The operator as a graph of its own, launched as those of the largest batch are."""
        machine, runtime = numbers.machine.copy(), numbers.runtimes[self.runtime].copy()
        machine["settled"] = numbers.observation[self.settled]
        runtime["paths_step_launch"] = runtime["paths_layer_launch"] = 0.0
        if self.pes is not None:
            runtime["pe_fusion"], runtime["pes_beyond_fused"] = self.pes, False
        if KINDS[kind_of(frozenset(machine.dtype.names or ()))].TRAITS.queues:
            _as_own_graph(runtime)
        largest = int(runtime["limits_max_sequences"][0])
        row = op_row(self.fields)
        choose(self.libraries, self.arch, runtime)
        row["library"] = library_of(row[0], runtime[0])
        return OperatorGraph(row, machine[0], runtime[0], int(step_path(largest, self.prefilling, runtime[0])))


@dataclass(frozen=True)
class ReductionPredictor:
    """What an operator whose rows are split over engines takes for its reduction alone."""

    operator: OperatorPredictor

    @property
    def arch(self) -> str:
        return self.operator.arch

    @property
    def runtime(self) -> str:
        return self.operator.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        return {"us": self.operator.predict(numbers, seed)["link_us"]}


def _as_own_graph(runtime: np.ndarray) -> None:
    """A graph of one operator has not the fixed times of served attention, and its activations pass through memory."""
    runtime["paths_attention_execution"] = 0.0
    runtime["activations_in_sram"] = False
