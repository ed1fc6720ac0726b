"""The verdict on each figure of a run: bounds first, then the interval of its prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from npusim.bounds.arithmetic import arithmetic
from npusim.bounds.bandwidth import bandwidth
from npusim.bounds.capacity import capacity
from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.collective import collectives
from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE, UNCHECKED, Finding, gravest
from npusim.bounds.little import littles_law
from npusim.bounds.load import BoundedLoad
from npusim.bounds.power_cap import MEAN, assumed_draw, power_cap
from npusim.bounds.reading import LEAST, Reading
from npusim.bounds.unit_readings import explained
from npusim.evidence.measured.sources import sources
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import load_system
from npusim.lab.check.placing import Placed
from npusim.lab.check.row import CheckedFigure
from npusim.lab.check.spread import COVERAGE, Z, run_half_widths
from npusim.lab.files.lab_run import LabRun
from npusim.metric_names import metric as metric_of
from npusim.metrics import METRICS
from npusim.units import plain_number

_TAILED, _MIDDLE = ("itl_ms", "power_w"), ("mean", "p50")
"""Of single chunks and samples of a meter the middle alone is compared: their tails hold stalls and flushes that no
description knows, and what a meter averages over its period."""


@dataclass(frozen=True)
class Predicted:
    """A prediction and the half-width of its logarithm at 99 %; other: one that the run may lie anywhere towards.

    resting_w: of watts, those of the cards at rest.
    """

    value: float
    half_width: float
    other: Predicted | None = None
    resting_w: float = 0.0

    def or_towards(self, other: Predicted | None) -> Predicted:
        """The prediction of a run that may lie anywhere towards another one as well."""
        if other is None:
            return self
        return replace(self, other=other if self.other is None else self.other.or_towards(other))

    @property
    def low(self) -> float:
        own = self.value * math.exp(-self.half_width)
        return own if self.other is None else min(own, self.other.low)

    @property
    def high(self) -> float:
        own = self.value * math.exp(self.half_width)
        return own if self.other is None else max(own, self.other.high)

    def apart(self, measured: Reading) -> float:
        """How far outside the interval a figure lies, of its logarithm; 0 inside."""
        above, below = math.log(max(measured.low, LEAST) / self.high), math.log(self.low / max(measured.high, LEAST))
        return max(0.0, above, below)

    def holds(self, measured: Reading) -> bool:
        """Whether any value that rounds to the figure lies in the interval."""
        return measured.high >= self.low and measured.low <= self.high


def run_findings(run: LabRun, placed: Placed, load: BoundedLoad | None, cards: int | None) -> list[Finding]:
    """What every bound says of a run on so many cards; load: as the bounds of the model take it."""
    isl, osl = (placed.setting.isl, placed.setting.osl) if run.conduct.lengths_fixed else (None, None)
    found = list(littles_law(placed.setting.users, isl, osl, run.figures))
    if placed.arch is not None and cards is not None and run.conduct.power_scope == "cards":
        for metric, figure in run.figures.items():
            if metric == MEAN or compared_with(metric) == MEAN:
                found += _renamed(watts_findings(placed.arch, placed.chips_of(cards), figure), metric)
    if load is not None and placed.model is not None:
        found += capacity(load)
        found += bandwidth(load, run.figures)
        found += arithmetic(load, run.figures)
        found += collectives(load, placed.model, run.figures)
    return found


def watts_findings(arch: str, chips: int, watts: Reading) -> Iterator[Finding]:
    """What the limits of the chips, and what they draw idle, say of mean card watts."""
    ceilings = ceiling_of(arch, True), ceiling_of(arch, False)
    meter = Z * sources().spreads.board_power.value
    yield from power_cap(ceilings, chips, watts, meter)
    yield from assumed_draw(ceilings[0], chips, watts, meter)


def _renamed(found: Iterable[Finding], metric: str) -> Iterator[Finding]:
    for each in found:
        yield replace(each, metric=metric)


def figures_of_run(predictor: RunPredictor, predicted: Mapping[str, float], seed: int) -> dict[str, Predicted]:
    """Predictions by the names of measured figures."""
    known = {
        name: value for name, value in predicted.items() if math.isfinite(value) and value > 0.0 and not is_tail(name)
    }
    widths = run_half_widths(predictor, known, seed)
    found = {name: Predicted(value, widths[name], resting_w=_resting_w(predictor)) for name, value in known.items()}
    return found | {row.name: found[row.compared_with] for row in METRICS if row.compared_with in found}


def _resting_w(predictor: RunPredictor) -> float:
    """Watts of the run's cards at rest."""
    chips = predictor.placement.cards * load_system(predictor.arch, uncalibrated=True).chips_per_card
    return ceiling_of(predictor.arch, False).idle_w * chips


def compared_with(metric: str) -> str:
    """The figure that predicts a measured one."""
    row = metric_of(metric)
    return metric if row is None else row.compared_with or row.name


def is_tail(metric: str) -> bool:
    """Whether a figure is a tail of single chunks or samples, which is not compared."""
    row = metric_of(metric)
    return row is not None and row.quantity in _TAILED and row.statistic not in _MIDDLE


def judge(
    metric: str, measured: Reading, found: Iterable[Finding], predicted: Predicted | None, why_not: str
) -> CheckedFigure:
    """The verdict on one figure. why_not: there is no prediction."""
    strictest = gravest(found)
    bound = None if strictest is None else strictest.bound
    limit = None if strictest is None else strictest.limit
    known = (None, None, None) if predicted is None else (predicted.value, predicted.low, predicted.high)
    slip = (
        ""
        if predicted is None
        else (explained(metric, measured.value, predicted.low, predicted.high, predicted.resting_w))
    )
    hint = f"; it would be plausible if {slip}" if slip else ""
    if strictest is not None and strictest.verdict in (IMPOSSIBLE, IMPLAUSIBLE):
        return CheckedFigure(metric, measured, strictest.verdict, strictest.reason + hint, bound, limit, *known)
    room = "" if strictest is None else f"; {strictest.bound}: {strictest.reason}"
    if predicted is None:
        none = why_not or f"{metric} is not predicted"
        return CheckedFigure(metric, measured, UNCHECKED, f"{none}{room}", bound, limit)
    value, low, high = map(plain_number, (predicted.value, predicted.low, predicted.high))
    interval = f"{low} to {high} ({COVERAGE:.0%} of {value})"
    if predicted.holds(measured):
        return CheckedFigure(metric, measured, PLAUSIBLE, f"within {interval}{room}", bound, limit, *known)
    return CheckedFigure(metric, measured, IMPLAUSIBLE, f"outside {interval}{hint}{room}", "prediction", limit, *known)
