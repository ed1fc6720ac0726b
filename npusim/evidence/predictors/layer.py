"""Parts of one decoder layer of a served graph: its dense work, its decode attention, its prompt attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.evidence.measured.case import Numbers, Predictor
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.placed import PlacedPredictor
from npusim.hardware.runtime import BucketShapes, GroupedAttention
from npusim.kernels.power import operator_time
from npusim.mapping.optable import ATTENTION
from npusim.units import US_PER_S
from npusim.workload.lognormal import cut_lognormal
from npusim.workload.step import Step, decode, prefill

_LAYER_SEGMENT = 1
_LOCATIONS = (-6.0, 3.0, 91)
_SAMPLES = 500


LayerTime = Callable[[AnalyticEngine, Step, bool], float]


def rows_of_layer(rows: np.ndarray, attention: bool) -> list[int]:
    """Indices of the attention rows, or of all others, of one layer."""
    chosen = (rows["segment"] == _LAYER_SEGMENT) & ((rows["kind"] == ATTENTION) == attention)
    return [int(index) for index in np.flatnonzero(chosen)]


def analytic_layer_time(engine: AnalyticEngine, step: Step, attention: bool) -> float:
    """Seconds of the attention rows, or of all others, of one layer."""
    table, costs = engine.operators(step)
    clock = engine.cost(step).clock
    return sum(float(operator_time(costs[index], clock)) for index in rows_of_layer(table.rows, attention))


@dataclass(frozen=True)
class DenseLayerPredictor(PlacedPredictor):
    """All but attention of one layer over `tokens` tokens: a prompt's chunk from the smallest compiled one on."""

    tokens: int
    layer_time: LayerTime = analytic_layer_time

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        chunks = measured_deployment(self.placement).runtime.prefill_chunk
        smallest = chunks.sizes[0] if isinstance(chunks, BucketShapes) else math.inf
        step = prefill(1, self.tokens) if self.tokens >= smallest else decode([1] * self.tokens)
        return {"us": US_PER_S * self.layer_time(_engine(self.placement, numbers, self.tokens), step, False)}


@dataclass(frozen=True)
class PromptAttentionPredictor(PlacedPredictor):
    """Attention of one layer for a chunk of `query` new tokens whose context ends at `context`."""

    query: int
    context: int
    layer_time: LayerTime = analytic_layer_time

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        step = prefill(1, self.query, self.context)
        return {"us": US_PER_S * self.layer_time(_engine(self.placement, numbers, 1), step, True)}


@dataclass(frozen=True)
class DecodeAttentionPredictor(PlacedPredictor):
    """All attention executions of one layer in the mean decode step of a run: `batch` sequences, `context` on average.

    Where there are several, the contexts are lognormal with the spread `context_spread` up to `longest_context`, and
    their mean is the mean of the compiled contexts in which they run; a mean batch lies between two whole ones.
    """

    batch: float
    context: float
    layer_time: LayerTime = analytic_layer_time

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us."""
        lower, upper = math.floor(self.batch), math.ceil(self.batch)
        engine = _engine(self.placement, numbers, upper)
        low, high = (
            US_PER_S * self.layer_time(engine, decode(self.contexts(batch, numbers)), True) for batch in (lower, upper)
        )
        return {"us": low + (high - low) * (self.batch - lower)}

    def contexts(self, batch: int, numbers: Numbers) -> np.ndarray:
        """Contexts of `batch` sequences whose compiled contexts have the mean that was counted."""
        compiled = measured_deployment(self.placement).runtime.attention
        if self.batch == 1.0 or not isinstance(compiled, GroupedAttention):
            return np.full(batch, round(self.context))
        spread, longest = (numbers.observation[name] for name in ("context_spread", "longest_context"))
        locations = math.log(longest) + spread * np.linspace(*_LOCATIONS)
        means = [
            np.mean(_compiled(cut_lognormal(location, spread, _SAMPLES, longest), compiled)) for location in locations
        ]
        nearest = int(np.argmin(np.abs(np.array(means) - self.context)))
        return cut_lognormal(float(locations[nearest]), spread, batch, longest)


def _compiled(contexts: np.ndarray, attention: GroupedAttention) -> np.ndarray:
    """The compiled context in which each of `contexts` runs."""
    sizes = np.array(attention.contexts)
    return sizes[np.minimum(np.searchsorted(sizes, contexts), len(sizes) - 1)]


@dataclass(frozen=True)
class CountedPredictor:
    """A time that was read off a card counter of assumed clock: the table's time is the true one / counter_factor."""

    timed: Predictor

    @property
    def arch(self) -> str:
        return self.timed.arch

    @property
    def runtime(self) -> str:
        return self.timed.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, as the counter gives them."""
        factor = numbers.observation["counter_factor"]
        return {"us": self.timed.predict(numbers, seed)["us"] / factor}


def _engine(placement: Placement, numbers: Numbers, sequences: int) -> AnalyticEngine:
    return AnalyticEngine(numbers.apply(measured_deployment(placement)), max_sequences=sequences)
