"""The event engine: steps of one deployment, simulated command by command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.bottleneck import path_shares
from npusim.engine.event.memory import Depth, memory_model
from npusim.engine.event.network import Network
from npusim.engine.event.order import rows_in_turn
from npusim.engine.event.repetition import Simulation, simulate_program
from npusim.engine.event.setting import StepSetting
from npusim.engine.event.stages import stages_time
from npusim.engine.stepcost import RESOURCES, StepCost, combine, retimed
from npusim.errors import UserError
from npusim.kernels.launch import launches_time
from npusim.mapping.micro_batches import micro_steps
from npusim.mapping.specialise import step_path
from npusim.workload.step import Step


@dataclass(frozen=True)
class Detail:
    """How closely memory is simulated: memory_depth of DEPTHS, refresh_rate of REFRESH_RATES, dies_per_memory: chips of
    the plan that share one memory, as dies of one package do."""

    memory_depth: Depth = "rate"
    refresh_rate: int = 1
    dies_per_memory: int = 1


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

    Raises UserError where the description lacks what the detail needs.
    """

    def __init__(self, analytic: AnalyticEngine, arch: str, detail: Detail = RATE_ALONE) -> None:
        self._analytic = analytic
        if analytic.deployment.runtime.artifacts:
            raise UserError(
                analytic.deployment.runtime.name,
                "artifacts",
                "the event engine runs one artifact; use --engine analytic",
            )
        self._memory = memory_model(analytic.system, detail.memory_depth, detail.refresh_rate)
        plan, self._sharers = analytic.plan, detail.dies_per_memory
        if plan.tensor_parallel * plan.senders % self._sharers:
            raise UserError(
                "--dies-per-memory",
                str(self._sharers),
                f"{plan.name} has no whole number of such groups",
            )
        self._chips = plan.tensor_parallel * plan.senders
        joined = plan.chips > 1
        self._network = Network.of_plan(analytic.system.server.fabric, plan, analytic.machine) if joined else None

    def cost(self, step: Step) -> StepCost:
        """The device cost of a step; a prompt chunk or batch larger than any compiled one runs in pieces."""
        return self.total(step, self.simulated(step))

    def total(self, step: Step, pieces: list[SimulatedPiece]) -> StepCost:
        """The cost of a step whose pieces are simulated: one after the other, through all stages of the pipeline."""
        cost, stages = total_cost(pieces), self._analytic.plan.pipeline_parallel
        if stages == 1:
            return cost
        left = iter(pieces)
        parts_s = [total_cost(list(islice(left, len(part)))).time_s for part in self._analytic.parts(step)]
        through = stages_time(parts_s, stages, bool(step.decoding.any()))
        return self._analytic.idling(cost, through - cost.time_s)

    def simulated(self, step: Step) -> list[SimulatedPiece]:
        """The pieces of a step as one stage runs them, in order, each with what happened in it."""
        known: dict[tuple[bytes, ...], SimulatedPiece] = {}
        found = []
        for piece in self._analytic.pieces(step):
            key = (piece.query.tobytes(), piece.context.tobytes(), piece.decoding.tobytes())
            if key not in known:
                known[key] = self._piece(piece)
            found.append(known[key])
        return found

    def _piece(self, step: Step) -> SimulatedPiece:
        engine = self._analytic
        known = engine.piece_cost(step)
        parts = [engine.operators(part) for part in micro_steps(step, known.sub_batches)]
        rows, costs = rows_in_turn([table.rows for table, _ in parts]), np.concatenate([own for _, own in parts])
        live = int(step.decoding.sum())
        prefilling = live < len(step.query)
        path = int(step_path(len(step.query) - live if prefilling else live, prefilling, engine.runtime))
        setting = StepSetting(
            engine.machine,
            engine.runtime,
            path,
            known.pes,
            known.clock,
            self._memory,
            self._chips,
            self._network,
            self._sharers,
            costs,
            len(parts[0][1]) if len(parts) > 1 else None,
        )
        simulation = simulate_program(rows, setting)
        shares = dict.fromkeys(RESOURCES, 0.0)
        for (_, kind), seconds in path_shares(simulation).items():
            shares[kind] += seconds
        waiting_s = max(0.0, self._launches_s(rows, path) - simulation.time_s)
        shares["overhead"] += waiting_s
        time_s = simulation.time_s + waiting_s
        cost = retimed(known, time_s, shares, engine.machine, engine.plan.chips)
        return SimulatedPiece(simulation, costs, replace(cost, host_s=waiting_s))

    def _launches_s(self, rows: np.ndarray, path: int) -> float:
        """Host seconds to launch the operators of a step one by one, 0 where the runtime never does."""
        runtime = self._analytic.runtime
        return float(launches_time(rows, len(rows), runtime, path)) if runtime["paths_host_launch"][path] > 0.0 else 0.0
