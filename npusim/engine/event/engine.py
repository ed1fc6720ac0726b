"""The event engine: steps of one deployment, simulated command by command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.bottleneck import path_shares
from npusim.engine.event.memory import Depth, memory_model
from npusim.engine.event.repetition import Simulation, simulate_program
from npusim.engine.event.setting import StepSetting
from npusim.engine.stepcost import RESOURCES, StepCost, combine
from npusim.errors import UserError
from npusim.hardware.units import KINDS, kind_of
from npusim.mapping.specialise import step_path
from npusim.workload.step import Step


@dataclass(frozen=True)
class Detail:
    """How closely memory is simulated: memory_depth of DEPTHS, refresh_rate of REFRESH_RATES."""

    memory_depth: Depth = "rate"
    refresh_rate: int = 1


RATE_ALONE = Detail()
"""Memory as one rate."""


@dataclass(frozen=True)
class SimulatedPiece:
    """A piece of a step that ran as one graph; costs: OPERATOR_COST_DTYPE of its rows, whose energies apply here
    too."""

    simulation: Simulation
    costs: np.ndarray
    cost: StepCost


def total_cost(pieces: list[SimulatedPiece]) -> StepCost:
    """The cost of pieces that run one after the other."""
    return reduce(combine, (piece.cost for piece in pieces))


class EventEngine:
    """Costs steps like the analytic engine, from which it takes what both share: rows, energies, the capped clock.

    Raises UserError for a chip whose kind of unit it does not simulate, and where PIM units are used.
    """

    def __init__(self, analytic: AnalyticEngine, arch: str, detail: Detail = RATE_ALONE) -> None:
        unit = KINDS[kind_of(frozenset(analytic.machine.dtype.names))]
        if not unit.TRAITS.events:
            able = ", ".join(name.replace("_", " ") for name, kind in KINDS.items() if kind.TRAITS.events)
            raise UserError("--engine", "event", f"{arch} is no {able}, the only unit it simulates; use analytic")
        if analytic.plan.pipeline_parallel > 1:
            raise UserError(
                "--engine", "event", "it simulates one stage and no pipeline; use analytic, or a plan without PP"
            )
        if analytic.runtime["offload_linear"] or analytic.runtime["offload_attention"]:
            raise UserError(
                "--engine", "event", f"{arch} gives work to PIM units, which it does not simulate; use --offload none"
            )
        self._analytic = analytic
        self._memory = memory_model(analytic.system, detail.memory_depth, detail.refresh_rate)

    def cost(self, step: Step) -> StepCost:
        """The device cost of a step; a prompt chunk or batch larger than any compiled one runs in pieces."""
        return total_cost(self.simulated(step))

    def simulated(self, step: Step) -> list[SimulatedPiece]:
        """The pieces of a step, in order, each with what happened in it."""
        return [self._piece(piece) for piece in self._analytic.pieces(step)]

    def _piece(self, step: Step) -> SimulatedPiece:
        engine = self._analytic
        table, costs = engine.operators(step)
        if costs["pim_s"].any():
            raise UserError("--engine", "event", "it simulates no PIM units, and some run this step; use analytic")
        known = engine.cost(step)
        live = int(step.decoding.sum())
        prefilling = live < len(step.query)
        path = int(step_path(len(step.query) - live if prefilling else live, prefilling, engine.runtime))
        setting = StepSetting(engine.machine, engine.runtime, path, known.pes, known.clock, self._memory)
        simulation = simulate_program(table.rows, setting)
        shares = dict.fromkeys(RESOURCES, 0.0)
        for (_, kind), seconds in path_shares(simulation).items():
            shares[kind] += seconds
        return SimulatedPiece(
            simulation,
            costs,
            StepCost(
                time_s=simulation.time_s,
                energy_j=self._energy_j(simulation.time_s, costs, known.clock),
                shares_s=shares,
                memory_bytes=known.memory_bytes,
                flops=known.flops,
                clock=known.clock,
                pes=known.pes,
            ),
        )

    def _energy_j(self, time_s: float, costs: np.ndarray, clock: float) -> float:
        """Joules of all chips: static power over the time, and the operators' own."""
        machine = self._analytic.machine
        scale = clock ** float(machine["power_voltage_exponent"])
        own = (costs["repeat"] * (costs["compute_j"] * scale + costs["transfer_j"])).sum()
        static = time_s * float(machine["power_idle"] + machine["power_loaded_static"])
        return float(own + static) * self._analytic.plan.chips
