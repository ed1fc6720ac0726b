"""How far a measured figure may lie from its prediction: 99 % half-widths of the logarithm of measured / predicted.

Four parts join as the root of the sum of their squares (ASME V&V 20-2009): what the ranges of the inputs make of a
decode step and of a prompt at the run's size, rounded to a power of two; what the calibration left unexplained on runs
that it had not seen; how well labs repeat a figure; and, where requests came at a rate and nobody knows when, how far
the rate of so many random arrivals lies from the told one. All four are read as normal in the logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy.stats import norm

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.speculation import analytic_engine
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.measured.sources import sources
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import calibration_of, load_system
from npusim.hardware.draws import RANGE_COVERAGE
from npusim.inputs import remembered
from npusim.metric_names import inverses
from npusim.serving.unexplained import unexplained

COVERAGE = 0.99
DRAWS = 24
Z = float(norm.ppf(0.5 + COVERAGE / 2.0))
Z_OF_RANGES = float(norm.ppf(0.5 + RANGE_COVERAGE / 2.0))
_WATTS, _PER_JOULE = "power_w", "tokens_per_joule"
_FIRST_TOKEN = "ttft"


def run_half_widths(predictor: RunPredictor, figures: Iterable[str], seed: int) -> dict[str, float]:
    """The half-width for each of the figures of METRICS of that run."""
    batch = _power_of_two(predictor.users)
    context = _power_of_two(predictor.isl + predictor.osl / 2.0)
    sds = _step_sds(predictor.placement, batch, context, _power_of_two(predictor.isl), seed)
    placement = predictor.placement
    return {
        figure: math.hypot(
            Z * _input_sd(inverses(figure), sds, predictor.users),
            _left(placement.arch, inverses(figure)),
            Z * _arrivals_sd(predictor),
        )
        for figure in figures
    }


def _arrivals_sd(predictor: RunPredictor) -> float:
    """Of n independent times between arrivals the mean has a relative standard deviation of 1/sqrt(n)."""
    if predictor.rate_per_s is None or predictor.arrival_seed is not None:
        return 0.0
    return 1.0 / math.sqrt(predictor.requests or 1)


@remembered
def _left(arch: str, figure: str) -> float:
    """What is not of the inputs' ranges: what the calibration left, another lab, and its queue."""
    left = Z / Z_OF_RANGES * unexplained(calibration_of(arch), figure)
    return math.hypot(left, Z * repeat_sd(figure), Z * _queue_sd(figure))


def _queue_sd(figure: str) -> float:
    """Of a first token's time on a server, and of a client, that no calibration saw: its queue is its own."""
    return sources().spreads.first_token_elsewhere.value if figure.startswith(_FIRST_TOKEN) else 0.0


@remembered
def repeat_sd(figure: str) -> float:
    """Relative standard deviation with which labs repeat a figure."""
    lab = sources().other_lab
    return lab.power.value if figure.startswith((_WATTS, _PER_JOULE)) else lab.figure.value


def _input_sd(figure: str, sds: tuple[float, float, float], users: float) -> float:
    """Standard deviation of the logarithm of the figure from the ranges of its inputs; sds: as `_step_sds` gives."""
    step, prompt, watts = sds
    if figure.startswith("ttft"):
        return max(prompt, step if users > 1 else 0.0)
    if figure.startswith(_WATTS):
        return watts
    if figure == _PER_JOULE:
        return math.hypot(step, watts)
    return step if figure.startswith(("tpot", "itl")) else max(step, prompt)


def _power_of_two(size: float) -> int:
    return int(2 ** round(math.log2(max(size, 1.0))))


@remembered
def _step_sds(placement: Placement, batch: int, context: int, prompt: int, seed: int) -> tuple[float, float, float]:
    """Of the time of a decode step, the time to a first token with nothing before it, and the watts of the step."""
    drawn = []
    for engine in _engines(placement, seed):
        sequences = min(batch, int(engine.runtime["limits_max_sequences"]))
        step = engine.with_host(engine.cost(engine.deployment.decoding([context] * sequences)), sequences)
        first = engine.prefill_chunk(prompt, prompt).time_s + float(engine.runtime["host_request_time"])
        drawn.append((step.time_s, first, step.power_w))
    step_sd, prompt_sd, watts_sd = np.log(np.array(drawn)).std(axis=0)
    return float(step_sd), float(prompt_sd), float(watts_sd)


@remembered
def _engines(placement: Placement, seed: int) -> tuple[AnalyticEngine, ...]:
    deployment = measured_deployment(placement)
    return tuple(analytic_engine(numbers.apply(deployment)) for numbers in _numbers(placement.arch, seed))


@remembered
def _numbers(arch: str, seed: int) -> tuple[Numbers, ...]:
    return tuple(Numbers.drawn(load_system(arch), calibration_of(arch), DRAWS, seed))
