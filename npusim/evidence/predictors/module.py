"""A part of a layer, alone in its graph: the rows that lowering makes of it, costed by the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from npusim.evidence.measured.case import Numbers
from npusim.evidence.predictors.kernel_libraries import Libraries, choose
from npusim.inputs import remembered
from npusim.kernels.operator import OPERATOR_COST_DTYPE
from npusim.kernels.step import STEP_COST_DTYPE, cost_step
from npusim.mapping.lower import instantiate
from npusim.mapping.optable import OP_DTYPE, OpTable
from npusim.mapping.specialise import specialise, step_path
from npusim.units import MS_PER_S
from npusim.workload.step import Step, decode, prefill


class Module(Protocol):
    """A part of a layer in plain values, so that it compares and hashes."""

    def program(self) -> np.ndarray:
        """Its rows without the sizes of a step, array of OP_DTYPE."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class ModulePredictor:
    """One pass of `module` over `batch` sequences of `query` new tokens that end at `context`, in a loop.

    decoding: sequences generate, a token each; libraries: (kind, name) of the GPU's kernel libraries that it was built
    with, in place of the runtime's; capped: False where the passes were too few for the power limit to act in full.
    """

    arch: str
    runtime: str
    module: Module
    batch: int
    query: int
    context: int
    decoding: bool
    libraries: Libraries = ()
    capped: bool = True

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """ms and power_w of one pass."""
        machines, runtime = numbers.machine.copy(), numbers.runtimes[self.runtime].copy()
        if not self.capped:
            machines["settled"] = numbers.observation["burst_settled"]
        machine = machines[0]
        runtime["paths_step_launch"] = runtime["paths_layer_launch"] = 0.0
        choose(self.libraries, self.arch, runtime)
        rows = specialise(_lowered(self.module, self._step()), machine, runtime[0]).rows
        _keep_in_cache(rows, machine)
        path = step_path(int(runtime["limits_max_sequences"][0]), not self.decoding, runtime[0])
        costs, cost = np.zeros(len(rows), OPERATOR_COST_DTYPE), np.zeros(1, STEP_COST_DTYPE)
        cost_step(rows, len(rows), machine, runtime[0], path, costs, cost[0])
        time_s, energy_j = float(cost["time_s"][0]), float(cost["energy_j"][0])
        return {"ms": time_s * MS_PER_S, "power_w": energy_j / time_s}

    def _step(self) -> Step:
        if self.decoding:
            return decode(np.full(self.batch, self.context))
        return prefill(self.batch, self.query, self.context)


def _keep_in_cache(rows: np.ndarray, machine: Any) -> None:
    """Take from the weights' bytes what a loop over the same weights finds in the L2 cache.

    Of W bytes in a cache of C, 1 - W / C are taken to stay: addresses are spread over the cache at random.
    """
    total = float(rows["weight_bytes"].sum())
    kept = max(0.0, 1.0 - total / float(machine["gpu_l2_capacity"]))
    rows["weight_bytes"] *= 1.0 - kept


def _lowered(module: Module, step: Step) -> OpTable:
    template = _program(module)
    rows = np.zeros(2 * len(template), OP_DTYPE)
    return OpTable(rows[: instantiate(template, step.query, step.context, step.decoding, rows)], step)


@remembered
def _program(module: Module) -> np.ndarray:
    return module.program()
