"""A whole forward pass: decoding sequences, prompt chunks, or both."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.limiter import PowerLimiter
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.hardware.runtime import RaggedAttention
from npusim.units import US_PER_S
from npusim.workload.step import Step, mixed

GPU_RUNTIME = "cuda-graph-engine"
UNPADDED = RaggedAttention(kind="ragged", source="the pass was timed alone, over its own contexts")


@dataclass(frozen=True)
class StepPredictor:
    """`decoding` sequences over `context` tokens each, and chunks of (new tokens, context).

    capped: False for a burst, during which the power limit acts only in part; hosted: True where host time around the
    pass is timed too; in_a_row: passes that followed each other on a rested chip, of which the mean was timed; 0 for a
    chip that has settled.
    """

    placement: Placement
    decoding: int
    context: int
    chunks: tuple[tuple[int, int], ...]
    capped: bool
    hosted: bool = False
    in_a_row: int = 0

    @property
    def arch(self) -> str:
        return self.placement.arch

    @property
    def runtime(self) -> str:
        return measured_deployment(self.placement).runtime.name

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, power_w (all cards)."""
        deployment = numbers.apply(measured_deployment(self.placement))
        if not self.capped:
            deployment.machine["settled"] = numbers.observation["burst_settled"]
        step = self.step()
        sequences = len(step.query)
        engine = AnalyticEngine(deployment, max_sequences=sequences)
        cost = engine.cost(step)
        if self.hosted:
            cost = engine.with_host(cost, sequences)
        if self.in_a_row:
            limiter = PowerLimiter(float(deployment.machine[0]["power_limiter_time"]))
            cost = engine.prefill_chunk(*self.chunks[0], limiter.mean(self.in_a_row * cost.time_s))
        return {"us": cost.time_s * US_PER_S, "power_w": cost.power_w}

    def step(self) -> Step:
        """The pass as the engine takes it."""
        return mixed([self.context] * self.decoding, self.chunks, max(self.decoding, 1))
