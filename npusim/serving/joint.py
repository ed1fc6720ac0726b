"""Figures drawn together: every draw is a run (or a pass) that could be, and intervals are quantiles of the same draws.

A draw is a simulated run on a drawn machine, and for each of three figures that are measured by themselves an error
that a calibration left unexplained: the wait for a first token, the time of a further one, and mean watts. All else
follows from them as in the simulated run: an answer takes the first token's time and that of the others; a closed loop
turns over as its answers do (Little 1961: users in flight are requests a second times the time that each stays); tokens
per joule are tokens per second over watts. What a bound forbids is clipped draw by draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npusim.engine.stepcost import StepCost
from npusim.hardware.draws import RANGE_COVERAGE, latin_hypercube, range_z
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Metric
from npusim.metrics import METRICS
from npusim.serving.bounded import TIME, WATTS, HardLimits, run_limits, step_limits
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics
from npusim.serving.unexplained import unexplained
from npusim.units import MS_PER_S, US_PER_S
from npusim.workload.arrivals import users_of
from npusim.workload.step import Step

FIRST, TOKEN = "ttft_ms_mean", "tpot_ms_mean"
ANSWER, POWER = "e2e_ms_mean", "power_w_mean"
"""An answer's time follows; the errors of the others are drawn, independently of each other. Those of TTFT and of a
token's time correlate by -0.3 over 21 published runs on RNGD and by 0.2 over 24 measured on H200, those of watts and
throughput by -0.6 (7 runs) and -0.2 (24): no more than chance gives without any (0.75 of 7 runs, 0.4 of 21 and of 24).
Throughput follows the time of a token: -0.9 and -1.0."""
SPREAD = 32
"""Draws of the errors on each drawn machine."""
RATE, ENERGY, BREAKDOWN = "output_tokens_per_s", "energy_j", "energy_breakdown_j"
_ONE = np.ones(1)
_ERRORS = 2**34
"""Added to the seed for errors, which are independent of the machines."""
_Figures = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class JointDraws:
    """The figures of one run or pass. value: on the given numbers; drawn: by name, (machines, errors) or (machines, 1)
    where no error bears on the figure; a column of one draw is one consistent run in all figures."""

    value: Mapping[str, float]
    drawn: _Figures

    def interval(self, name: str) -> tuple[float, float]:
        """(low, high) of the central 90 % of the draws, widened to hold the value; NaN where there is none.

        Ends are draws themselves, as many beyond the one as beyond the other, so that what holds between figures in
        every draw (a product, an order) holds between ends of their intervals too.
        """
        value, tail = self.value[name], 0.5 * (1.0 - RANGE_COVERAGE)
        if not math.isfinite(value):
            return math.nan, math.nan
        return min(self.quantile(name, tail), value), max(self.quantile(name, 1.0 - tail), value)

    def median(self, name: str) -> float:
        """The middle of the draws."""
        return float(np.median(self._sorted(name)))

    def quantile(self, name: str, share: float) -> float:
        """The draw beyond which at most a part `share` (above a half: 1 - `share`) of the draws lies; NaN without."""
        return quantile_of(self._sorted(name), share)

    def parts(self, holds: Callable[[_Figures], np.ndarray]) -> np.ndarray:
        """Of each drawn machine, the part of its draws (machines,) for which `holds` is true, as `decide` takes it.

        holds: from arrays of all figures by name to truths of the same shape; no figure compares true with NaN.
        """
        return np.asarray(holds(self.drawn), dtype=float).mean(axis=1)

    def probability(self, holds: Callable[[_Figures], np.ndarray]) -> float:
        """Part of the draws for which `holds` is true, over any figures at once."""
        return float(self.parts(holds).mean())

    def _sorted(self, name: str) -> np.ndarray:
        values = self.drawn[name].ravel()
        return np.sort(values[np.isfinite(values)])


def quantile_of(known: np.ndarray, share: float) -> float:
    """As `JointDraws.quantile`, of sorted draws."""
    if not len(known):
        return math.nan
    beyond = max(0, math.floor(min(share, 1.0 - share) * len(known)) - 1)
    return float(known[beyond] if share < 0.5 else known[-1 - beyond])


def run_draws(
    deployment: Deployment, load: Load, value: RunMetrics, machines: Sequence[RunMetrics], seed: int
) -> JointDraws:
    """Joint draws of the figures of a run and of its joules by component (`energy_breakdown_j_NAME`).

    value: the run on the given numbers; machines: on drawn ones (`drawn_metrics`).
    """
    limits = run_limits(deployment, load, value.figures)
    return draws_within(load, value, machines, seed, left_widths(deployment), limits)


def left_widths(deployment: Deployment) -> dict[str, float]:
    """What is left unexplained of the figures whose errors are drawn: 90 % half-widths of the logarithm."""
    widths = {name: unexplained(deployment.calibration, name) for name in (FIRST, TOKEN, RATE, POWER)}
    # Throughput was measured on more models than the time of a token, which decides it.
    widths[TOKEN] = max(widths[TOKEN], widths.pop(RATE))
    return widths


def draws_within(
    load: Load,
    value: RunMetrics,
    machines: Sequence[RunMetrics],
    seed: int,
    widths: Mapping[str, float],
    limits: HardLimits,
) -> JointDraws:
    """`run_draws` of any server or servers: with errors of these widths, within these limits."""
    rows = [row for row in METRICS if row.name in value.figures]
    errors = drawn_errors(widths, len(machines), seed)
    run = _Run(load, machines, rows, errors, limits)
    joules = {name: _column([each.breakdown_j[name] for each in machines]) for name in value.breakdown_j}
    parts = {f"{BREAKDOWN}_{name}": was * run.energy for name, was in joules.items()}
    told = {f"{BREAKDOWN}_{name}": figure for name, figure in value.breakdown_j.items()}
    return JointDraws({**value.figures, **told}, {**run.figures, **parts})


def step_draws(
    deployment: Deployment, phase: str, step: Step, value: StepCost, machines: Sequence[StepCost], seed: int
) -> JointDraws:
    """Joint draws of time_us, power_w and energy_j of a pass of that phase; machines: its costs on drawn ones."""
    limits = step_limits(deployment, step)
    widths = {name: unexplained(deployment.calibration, name, phase) for name in (TIME, WATTS)}
    errors = drawn_errors(widths, len(machines), seed)
    drawn = {
        name: limits.clip(name, _column([getattr(each, name) for each in machines]) * errors[name]) for name in widths
    }
    drawn[ENERGY] = drawn[TIME] / US_PER_S * drawn[WATTS]
    return JointDraws({name: getattr(value, name) for name in drawn}, drawn)


class _Run:
    """figures: of simulated runs under drawn errors, (machines, errors) each; energy: joules over those simulated."""

    def __init__(
        self, load: Load, machines: Sequence[RunMetrics], rows: Sequence[Metric], errors: _Figures, limits: HardLimits
    ) -> None:
        self._rows, self._limits = rows, limits
        self._was = {row.name: _column([run[row.name] for run in machines]) for row in rows}
        self._users = users_of(load.arrival)
        self.figures: dict[str, np.ndarray] = {}
        self._latencies(self._waits(machines, errors), errors[TOKEN])
        slower = self._turnover(machines)
        slower *= self._held_back(slower)
        watts = limits.clip(POWER, self._was[POWER] * errors[POWER]) / self._was[POWER]
        self.energy = slower * watts
        self._others({"s": slower, "W": watts, "J": self.energy, "ms": self.figures[ANSWER] / self._was[ANSWER]})

    def _waits(self, machines: Sequence[RunMetrics], errors: _Figures) -> np.ndarray:
        """Times to first tokens over the simulated ones.

        Where more users wait than are served at once, a wait for a place takes as much longer as the answers before it.
        """
        first, answer = self._was[FIRST], self._was[ANSWER]
        if self._users is None:
            return errors[FIRST]
        served = _column([run["users_in_service"] for run in machines]) / self._users
        queued = np.clip(answer * (1.0 - served), 0.0, first)
        own, rest = first - queued, answer - first
        in_service = (own * errors[FIRST] + rest * errors[TOKEN]) / np.maximum(own + rest, np.finfo(float).tiny)
        return (own * errors[FIRST] + queued * in_service) / first

    def _latencies(self, waits: np.ndarray, pace: np.ndarray) -> None:
        """Times to first tokens, between tokens and of whole answers: each the first token's and that of the others."""
        scaled = {"ttft_ms": waits, "tpot_ms": pace}
        for row in self._rows:
            if row.quantity in scaled:
                self.figures[row.name] = self._limits.clip(row.name, self._was[row.name] * scaled[row.quantity])
        pace = np.where(np.isfinite(self._was[TOKEN]), self.figures[TOKEN] / self._was[TOKEN], pace)
        for row in self._rows:
            if row.quantity == "itl_ms":
                self.figures[row.name] = self._limits.clip(TOKEN, self._was[row.name] * pace)
            elif row.quantity == "e2e_ms":
                first = f"ttft_ms_{row.statistic}"
                rest = (self._was[row.name] - self._was[first]) * pace
                self.figures[row.name] = self._limits.clip(row.name, self.figures[first] + rest)
        tails = sorted((row for row in self._rows if row.quantity == "e2e_ms" and row.name != ANSWER), key=_percentile)
        rising = np.sort(np.stack([self.figures[row.name] for row in tails]), axis=0)
        self.figures |= {row.name: values for row, values in zip(tails, rising, strict=True)}

    def _turnover(self, machines: Sequence[RunMetrics]) -> np.ndarray:
        """Seconds of the run over those simulated: a closed loop turns with its answers, an open one also waits."""
        answers = self.figures[ANSWER] / self._was[ANSWER]
        if self._users is not None:
            return answers
        seconds, busy = self._was["duration_s"], _column([run.busy_s for run in machines])
        due = np.minimum(_column([run.last_due_s for run in machines]), seconds)
        return np.maximum(due + (seconds - due) * answers, busy * answers) / seconds

    def _held_back(self, slower: np.ndarray) -> np.ndarray:
        """By how much rates would pass what they can be: all times are as much longer."""
        over = np.ones_like(slower)
        for name, most in self._limits.most.items():
            if _per_second(name):
                over = np.maximum(over, self._was[name] / slower / most)
        for name in self.figures:
            self.figures[name] = self.figures[name] * over
        return over

    def _others(self, factors: Mapping[str, np.ndarray]) -> None:
        """Every further figure from the simulated one by its unit; a unit without time or energy is as simulated."""
        for row in self._rows:
            if row.name in self.figures:
                continue
            if row.inverse_of:
                self.figures[row.name] = MS_PER_S / self.figures[row.inverse_of]
                continue
            above, _, below = row.unit.partition("/")
            factor = factors.get(above, _ONE) / factors.get(below, _ONE)
            self.figures[row.name] = self._was[row.name] * factor


def _percentile(row: Metric) -> float:
    return float(row.statistic.removeprefix("p"))


def _per_second(name: str) -> bool:
    return name.endswith("_per_s")


def drawn_errors(widths: Mapping[str, float], machines: int, seed: int) -> dict[str, np.ndarray]:
    """Factors by which figures are off, (machines, SPREAD) each: lognormal, 90 % within exp(-width) and exp(width)."""
    from scipy.special import ndtri

    shares = latin_hypercube(machines * SPREAD, len(widths), seed + _ERRORS)
    z = ndtri(shares).reshape(machines, SPREAD, len(widths)) / range_z()
    return {name: np.exp(width * z[:, :, index]) for index, (name, width) in enumerate(widths.items())}


def _column(values: Sequence[float]) -> np.ndarray:
    return np.array(values, dtype=float).reshape(-1, 1)
