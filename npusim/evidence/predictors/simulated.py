"""Kernels of a contraction processor, and collectives, under the event engine: simulated command by command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.event.bottleneck import path_shares
from npusim.engine.event.collective import collective_record
from npusim.engine.event.engine import EventEngine
from npusim.engine.event.repetition import simulate_program
from npusim.engine.event.setting import StepSetting
from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers, Predictor
from npusim.evidence.measured.kinds.public_collectives import CollectivePredictor, placed_machine
from npusim.evidence.predictors.layer import (
    CountedPredictor,
    DecodeAttentionPredictor,
    DenseLayerPredictor,
    PromptAttentionPredictor,
    rows_of_layer,
)
from npusim.evidence.predictors.operator import OperatorPredictor, ReductionPredictor
from npusim.hardware.catalog import load_system
from npusim.hardware.machine import GROUP_TENSOR
from npusim.units import MS_PER_S, US_PER_S
from npusim.workload.step import Step


@dataclass(frozen=True)
class SimulatedOperator:
    """An operator alone in its graph, timed from its first command: its launch is not in the card's spans."""

    operator: OperatorPredictor

    @property
    def arch(self) -> str:
        return self.operator.arch

    @property
    def runtime(self) -> str:
        return self.operator.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        graph, cost = self.operator.costed(numbers)
        graph.runtime["paths_operator_launch"] = 0.0
        simulation = simulate_program(
            graph.row, StepSetting(graph.machine, graph.runtime, graph.path, int(cost["pes"]))
        )
        return {"us": US_PER_S * simulation.time_s}


@dataclass(frozen=True)
class SimulatedReduction:
    """What an operator whose rows are split over PEs takes longer than one PE's part of it: how it was measured."""

    operator: OperatorPredictor

    @property
    def arch(self) -> str:
        return self.operator.arch

    @property
    def runtime(self) -> str:
        return self.operator.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        pes = float(self.operator.pes or 1)
        fields = tuple((name, value / pes if name == "k" else value) for name, value in self.operator.fields)
        part = replace(self.operator, fields=fields, pes=1)
        whole, alone = (SimulatedOperator(each).predict(numbers, seed)["us"] for each in (self.operator, part))
        return {"us": whole - alone}


@dataclass(frozen=True)
class SimulatedCollective:
    """A collective as its messages."""

    collective: CollectivePredictor

    @property
    def arch(self) -> str:
        return self.collective.arch

    @property
    def runtime(self) -> str:
        return self.collective.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """ms."""
        asked, machine = self.collective, placed_machine(self.collective, numbers)[0]
        fabric, groups = load_system(asked.arch, uncalibrated=True).server.fabric, (tuple(range(asked.ranks)),)
        record = collective_record(asked.operation, float(asked.byte_count), GROUP_TENSOR, groups, fabric, machine)
        return {"ms": MS_PER_S * record.time_s}


def simulated_layer_time(engine: AnalyticEngine, step: Step, attention: bool) -> float:
    """Seconds of the critical path that belong to the attention rows, or to all others, of one layer."""
    (piece,) = EventEngine(engine, "").simulated(step)
    rows, shares = piece.simulation.rows, path_shares(piece.simulation)
    chosen = set(rows_of_layer(rows, attention))
    return sum(seconds / int(rows[row]["repeat"]) for (row, _), seconds in shares.items() if row in chosen)


def simulated_cases(cases: Iterable[Case]) -> list[Case]:
    """The cases with their predictors under the event engine. Raises UserError for what it does not simulate."""
    return [replace(case, predictor=_simulated(case.predictor)) for case in cases]


def _simulated(predictor: Predictor) -> Predictor:
    if isinstance(predictor, CountedPredictor):
        return CountedPredictor(_simulated(predictor.timed))
    if isinstance(predictor, DenseLayerPredictor | PromptAttentionPredictor | DecodeAttentionPredictor):
        return replace(predictor, layer_time=simulated_layer_time)
    if isinstance(predictor, CollectivePredictor):
        return SimulatedCollective(predictor)
    if isinstance(predictor, ReductionPredictor):
        return SimulatedReduction(predictor.operator)
    if isinstance(predictor, OperatorPredictor) and predictor.pes is not None:
        return SimulatedOperator(predictor)
    raise UserError(
        "--engine",
        "event",
        "it simulates kernels of contraction processors and collectives; leave it out for this table",
    )
