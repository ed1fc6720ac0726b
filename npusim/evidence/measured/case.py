"""A case: one measured figure, and the predictor that predicts it under given numbers.

Every table row becomes cases (one per figure that it holds) or a Skip with its reason. Cases of one run share a
predictor, so that one prediction serves all its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from npusim.engine.analytic import COARSE
from npusim.evidence.measured.sources import REQUESTS_PER_USER_COLUMN, Sources, sources
from npusim.hardware.calibration import Calibration
from npusim.hardware.catalog import load_runtime, shipped_runtimes
from npusim.hardware.drafting import load_drafting, shipped_drafting
from npusim.hardware.draws import RangedNumber, drawn_values, is_ranged, ranged_numbers
from npusim.hardware.machine import build_machine
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import RUNTIME_DTYPE, build_runtime, drives
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment
from npusim.mapping.shared import calibrated_shared, numbers_of_drafting, shared_numbers, with_shared

_MECHANISMS = {
    "host_time": ("host_step_time", "host_request_time"),
    "path_time": ("paths_operator_launch", "paths_attention_execution", "paths_step_launch", "paths_layer_launch"),
}
"""The numbers of a runtime on which labs differ, by the factor of their set-up."""
OF_THE_RUN = "told of the measured run"
"""Source of a number that the run itself gives, which no other numbers replace."""
_TOLD: Mapping[str, Callable[[Runtime], Quantity | None]] = {
    "limits_max_sequences": lambda runtime: runtime.limits.max_sequences,
    "policy_token_budget": lambda runtime: getattr(runtime.policy, "token_budget", None),
}
"""Fields of a runtime's record that a run may give, and the number of each in the description."""

_STRUCTURE = tuple(name for name in RUNTIME_DTYPE.names or () if RUNTIME_DTYPE[name].base != np.float64)


@dataclass(frozen=True)
class Numbers:
    """The numbers under which to predict.

    machine: its record (1,); runtimes: by name, each (1,) of RUNTIME_DTYPE; observation: what lies between the chip
    and a table (the `observation` part of sources.yaml). growth: of a context within which a decode step of a run is
    not costed anew, as engines take it: 0 for a single run, COARSE for one of many. shared: assumptions that all chips
    share, where they are not the shipped ones. draw: which draw of the numbers this is, 0 where none is; arrivals at a
    rate are drawn anew with it, since a run that is measured has its own.
    """

    machine: np.ndarray
    runtimes: Mapping[str, np.ndarray]
    observation: Mapping[str, float]
    growth: float = 0.0
    shared: Mapping[RangedNumber, float] = field(default_factory=dict)
    draw: int = 0

    @classmethod
    def of(cls, system: System, calibration: Calibration | None = None) -> Numbers:
        """The numbers that the descriptions give: of `system`, of every shipped runtime that drives it, of sources.

        calibration: the calibration under which `system` was loaded; it holds for runtimes and sources too.
        """
        records = {runtime.name: build_runtime(runtime, system) for runtime in drivers(system, calibration)}
        shared = calibrated_shared(calibration)
        return cls(build_machine(system), records, _observed(calibration).observed(), shared=shared)

    @classmethod
    def drawn(cls, system: System, calibration: Calibration | None, count: int, seed: int) -> list[Numbers]:
        """`count` sets of the numbers that `of` gives, all drawn from their ranges."""
        own = (number for runtime in drivers(system, calibration) for number in ranged_numbers(system, runtime))
        drafting = (number for name in shipped_drafting() for number in numbers_of_drafting(load_drafting(name)))
        shared = (number for number in (*shared_numbers(calibration), *drafting) if is_ranged(number.quantity))
        numbers = list(dict.fromkeys([*own, *_observed(calibration).latent(), *shared]))
        drawn = list(zip(numbers, drawn_values(numbers, count, seed, calibration), strict=True))
        given = cls.of(system, calibration).coarse()
        sets = ({number: float(values[index]) for number, values in drawn} for index in range(count))
        return [replace(given.replaced(values), draw=1 + index) for index, values in enumerate(sets)]

    def replaced(self, values: Mapping[RangedNumber, float]) -> Numbers:
        """These numbers, some of them replaced."""
        machine, observation, shared = self.machine.copy(), dict(self.observation), dict(self.shared)
        runtimes = {name: record.copy() for name, record in self.runtimes.items()}
        for number, value in values.items():
            if number.owner == sources().name:
                observation[number.name] = value
            elif number.is_shared:
                shared[number] = value
            else:
                number.put(runtimes.get(number.owner, machine), value)
        return replace(self, machine=machine, runtimes=runtimes, observation=observation, shared=shared)

    def coarse(self) -> Numbers:
        """These numbers for one run of many: its figures lie within a thousandth of a single run's."""
        return replace(self, growth=COARSE)

    def of_lab(self, lab: str, name: str) -> float:
        """A factor of a lab's set-up; 1 where the lab is not described."""
        return self.observation.get(f"labs.{lab}.{name}", 1.0)

    def brief(self) -> Numbers:
        """These numbers for runs of half as many requests where a source does not say how many there were.

        Such runs show how figures move with a number, in half the time.
        """
        requests = max(1.0, 0.5 * self.observation[REQUESTS_PER_USER_COLUMN])
        return replace(self.coarse(), observation={**self.observation, REQUESTS_PER_USER_COLUMN: requests})

    def apply(self, deployment: Deployment, lab: str = "") -> Deployment:
        """`deployment` under these numbers, in records of its own; its runtime keeps its compiled shapes.

        lab: whose set-up it was, where its differences are described.
        """
        record = self.runtimes[deployment.runtime.name].copy()
        for mechanism, fields in _MECHANISMS.items():
            for name in fields:
                record[name] *= self.of_lab(lab, mechanism)
        for name in _STRUCTURE:
            record[name] = deployment.runtime_record[name]
        for name, number in _TOLD.items():
            told = number(deployment.runtime)
            if told is not None and told.source == OF_THE_RUN:
                record[name] = deployment.runtime_record[name]
        return with_shared(deployment, self.shared).with_records(self.machine.copy(), record)


def drivers(system: System, calibration: Calibration | None = None) -> list[Runtime]:
    """The shipped runtimes that drive the architecture, and its own, under a calibration."""
    drivers = {runtime.name: runtime for runtime in _shipped() if drives(runtime, system)}
    own = load_runtime(system.runtime, system.chip.unit.kind)
    runtimes = list((drivers | {own.name: own}).values())
    return runtimes if calibration is None else [calibration.apply(runtime.name, runtime) for runtime in runtimes]


@remembered
def _shipped() -> tuple[Runtime, ...]:
    return tuple(load_yaml(path, Runtime) for path in shipped_runtimes().values())


def _observed(calibration: Calibration | None) -> Sources:
    return sources() if calibration is None else calibration.apply(sources().name, sources())


class Predictor(Protocol):
    """What was run. Predictors that compare equal predict the same."""

    @property
    def arch(self) -> str:
        """Name or path of the architecture on which it ran."""
        ...

    @property
    def runtime(self) -> str:
        """Name of the runtime under which it ran."""
        ...

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """Every figure of the run by its name. Raises UserError where it cannot run."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Case:
    """One measured figure.

    row: of the table, 0-based; metric: the table's name for the figure; figure: the predictor's; measured: in the
    predictor's unit; run: names the run that gave it; group: what is exchangeable with other groups (lab x SDK x
    model x cards, or model x format); model: that ran, or whose shapes an operator has; sigma: relative standard
    deviation of measuring it again; main: True for the table's main metric; kind: of the table.
    """

    row: int
    metric: str
    figure: str
    measured: float
    predictor: Predictor
    run: str
    group: str
    model: str
    dimensions: Mapping[str, str]
    sigma: float
    main: bool
    kind: str = ""


@dataclass(frozen=True)
class Skip:
    """A row that cannot be predicted, and why."""

    row: int
    reason: str
