"""The nearest measured run to a claim: a published row, its source, and how far the claim lies from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from npusim.answers.peaks import peak_ops_per_s
from npusim.bounds.demand import demand_of
from npusim.evidence.measured.case import Case
from npusim.evidence.measured.importer import import_table
from npusim.evidence.predictors.run import RunPredictor
from npusim.explore.evaluate.claim import Claim
from npusim.hardware.catalog import load_system
from npusim.hardware.data import data_root
from npusim.hardware.system import System
from npusim.inputs import remembered
from npusim.mapping.deployment import Deployment
from npusim.metric_names import inverses, resolve
from npusim.units import MS_PER_S
from npusim.workload.catalog import load_model
from npusim.workload.model import Model
from npusim.workload.precision import SCHEMES, Precision

_TABLES = ("rngd/serving.csv", "h200/serving.csv", "gpu_public/rtx_serving.csv")
"""Measured serving runs that are shipped, under validation/data."""
_SOURCE = ("source_url", "source", "note")
NEAR = 2.0
"""Factor within which a measured run speaks for a claim in one respect."""


@dataclass(frozen=True)
class Neighbour:
    """name, title: of the chip that was measured; row: of the table; value: what was measured, in the metric's unit;
    run: what ran, in words; source: of the row. apart: claim over measured run, by respect; same_class: whether both
    models are dense, or both have experts; bandwidth_ratio, peak_ratio: one proposed chip's over a measured one's."""

    name: str
    title: str
    row: str
    value: float
    run: str
    source: str
    apart: Mapping[str, float]
    same_class: bool
    bandwidth_ratio: float
    peak_ratio: float

    @property
    def distance(self) -> float:
        """The root of the sum of the squared logarithms of what lies apart."""
        return math.hypot(*(math.log(ratio) for ratio in self.apart.values()))

    @property
    def far(self) -> tuple[str, ...]:
        """Respects in which the claim is farther than a factor of NEAR from the measured run."""
        beyond = tuple(name for name, ratio in self.apart.items() if abs(math.log(ratio)) > math.log(NEAR))
        return beyond if self.same_class else ("model class", *beyond)


@dataclass(frozen=True)
class _Measured:
    """A measured figure of a serving run. chip: that ran it; where: table and line; source: as the table gives it."""

    chip: str
    where: str
    source: str
    case: Case
    run: RunPredictor


def nearest(claim: Claim, deployment: Deployment) -> Neighbour | None:
    """The measured row of the claim's figure that is nearest to it; None where nobody measured the figure."""
    if claim.is_peak:
        return None
    figure = inverses(claim.figure)
    known = [each for each in _measured() if inverses(resolve(each.case.figure)) == figure]
    found = [_compared(claim, deployment, each) for each in known]
    return min(found, key=lambda each: (not each.same_class, each.distance), default=None)


@remembered
def _measured() -> tuple[_Measured, ...]:
    return tuple(each for table in _TABLES for each in _of_table(table))


def _of_table(table: str) -> Iterator[_Measured]:
    path = data_root("validation") / "data" / table
    imported = import_table(path)
    frame = imported.table.frame
    columns = [name for name in _SOURCE if name in frame.columns]
    for case in imported.cases:
        if isinstance(case.predictor, RunPredictor):
            told = (str(frame[name].iloc[case.row]) for name in columns)
            source = next((text for text in told if text and text != "nan"), f"validation/data/{table}")
            yield _Measured(case.predictor.arch, f"{table}:{case.row + 2}", source, case, case.predictor)


def _compared(claim: Claim, deployment: Deployment, measured: _Measured) -> Neighbour:
    run, other = measured.run, load_system(measured.chip)
    isl, osl, users = claim.load
    rates, theirs = _rates(deployment.system), _rates(other)
    model = load_model(run.placement.model)
    own_bytes = _bytes(deployment.model, deployment.precision)
    their_bytes = _bytes(model, Precision(run.placement.precision, *SCHEMES[run.placement.precision], "bf16"))
    apart = {
        "bytes of a token": own_bytes / their_bytes,
        "prompt": isl / run.isl,
        "answer": osl / run.osl,
        "users": users / run.users,
        "cards": deployment.plan.cards / run.placement.cards,
        "bandwidth": rates[0] / theirs[0],
        "peak": rates[1] / theirs[1],
    }
    figure = resolve(measured.case.figure)
    value = measured.case.measured if figure == claim.figure else MS_PER_S / measured.case.measured
    return Neighbour(
        measured.chip,
        other.title,
        measured.where,
        value,
        f"{model.title} in {run.placement.precision} on {run.placement.cards} x {other.title}, {run.isl}/{run.osl}, "
        f"{run.users:g} users",
        measured.source,
        apart,
        (model.experts is None) == (deployment.model.experts is None),
        apart["bandwidth"],
        apart["peak"],
    )


@remembered
def _bytes(model: Model, precision: Precision) -> float:
    """Bytes of weights that a decode step of one sequence reads."""
    return demand_of(model, precision, 1, 1, False).step_bytes


def _rates(system: System) -> tuple[float, float]:
    """Memory bandwidth (bytes/s) and dense bf16 peak (operations/s) of one chip."""
    return system.chip.memory.peak_bandwidth_bytes_per_s, peak_ops_per_s(system)["bf16"]
