"""A serving run: users in a closed loop, in step or not, with identical prompts or not, of fixed or spread lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.metric_row import Shown
from npusim.serving.load import Load, make_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed, Poisson
from npusim.workload.lengths import FIXED, Even, Lengths, LengthSpread, LogNormal, parse_spreads

HARNESS, TRACE = "harness", "trace"
"""Spreads of lengths that a table states in words: drawn evenly as a harness does, or those of a trace; sources.yaml
has their numbers."""


@dataclass(frozen=True)
class RunPredictor:
    """isl, osl: tokens of each request, or the medians of a trace's; users: the mean number in service.

    requests: None where it was not published; same_prompt: every request has the same prompt, which the server knows
    already; lengths: how they lie about the stated ones, as `parse_spreads` reads it, HARNESS or TRACE;
    lengths_told: whether that is known and not assumed; windowed: only a window of the run is seen, in which users have
    long fallen out of step; stalled: its source reports host stalls; unsaid: its source does not say how many tokens
    came out, which may be fewer than `osl`; shared_tokens: with which all prompts begin; rate_per_s: of arrivals, None
    for users in a closed loop; lab: whose set-up it was.
    """

    placement: Placement
    isl: int
    osl: int
    users: float
    requests: int | None = None
    same_prompt: bool = False
    lengths: str = FIXED.text
    lengths_told: bool = False
    windowed: bool = False
    stalled: bool = False
    unsaid: bool = False
    shared_tokens: int = 0
    rate_per_s: float | None = None
    lab: str = ""

    @property
    def arch(self) -> str:
        return self.placement.arch

    @property
    def runtime(self) -> str:
        return self.placement.runtime

    @property
    def traced(self) -> bool:
        """Whether lengths are those of a trace."""
        return self.lengths == TRACE

    def spread(self, observation: Mapping[str, float]) -> tuple[LengthSpread, LengthSpread]:
        """How lengths of prompts and outputs lie about the stated ones, under the numbers of sources.yaml."""
        if self.lengths == HARNESS:
            harness = Even(observation["least_length"], 1.0)
            return harness, harness
        if self.lengths == TRACE:
            longest = round(observation["longest_context"])
            return (
                LogNormal(observation["prompt_spread"], True, longest - self.osl),
                LogNormal(observation["output_spread"], True, longest - self.isl),
            )
        return parse_spreads(self.lengths, "--lengths")

    def predict(self, numbers: Numbers, seed: int, engine: AnalyticEngine | None = None) -> dict[str, float]:
        """Figures by the names of METRICS; a mean number of users lies between two whole ones. Raises UserError.

        engine: one of this placement and lab under these numbers, which remembers prompts of other runs.
        """
        lower, upper = max(1, math.floor(self.users)), math.ceil(self.users)
        low = self._run(lower, numbers, seed, engine)
        if lower == upper:
            return low
        high, share = self._run(upper, numbers, seed, engine), self.users - lower
        return {name: low[name] + (high[name] - low[name]) * share for name in low}

    def _run(self, users: int, numbers: Numbers, seed: int, engine: AnalyticEngine | None) -> dict[str, float]:
        count = self.requests or users * max(1, round(numbers.observation["requests_per_user"]))
        count += users if self.windowed else 0
        deployment = numbers.apply(measured_deployment(self.placement), self.lab)
        if self.stalled:
            record = deployment.runtime_record
            record["host_stall_probability"] = numbers.observation["stall_per_step"] / record["host_stall_time"]
        load = self._load(users, count, numbers, seed)
        if engine is None or self.stalled:
            engine = AnalyticEngine(deployment, growth=numbers.growth)
        run = simulate(deployment, load, seed, engine)
        if run.record.refused:
            raise UserError("the simulated server", "", f"refuses requests: {run.record.refused[0].refusal}")
        return dict(measure(run, Shown.COMPARED).figures)

    def _load(self, users: int, count: int, numbers: Numbers, seed: int) -> Load:
        part = numbers.of_lab(self.lab, "output_part") if self.unsaid else 1.0
        stated = self.isl, max(1, round(self.osl * part))
        isl, osl = (Lengths(*each) for each in zip(stated, self.spread(numbers.observation), strict=True))
        arrival = Closed(users, self.windowed) if self.rate_per_s is None else Poisson(self.rate_per_s)
        return make_load(
            isl,
            osl,
            arrival,
            count,
            seed,
            shared=self.shared_tokens,
            alike=self.same_prompt,
            warm=self.same_prompt,
            warm_up=users if self.windowed else 0,
        )
