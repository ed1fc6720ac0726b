"""A serving run: users in a closed loop, in step or not, with identical prompts or not, of fixed or spread lengths."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from npusim.answers.pools import Pool, Transfer
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.speculation import analytic_engine
from npusim.errors import UserError
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.placement import measured_deployment
from npusim.evidence.predictors.placed import PlacedPredictor
from npusim.hardware.server_link import load_server_link
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.serving.instances.disaggregated import simulate_pools
from npusim.serving.load import Load, make_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import ServedRun, simulate
from npusim.workload.arrivals import Arrival, Closed, Poisson, Timed
from npusim.workload.lengths import FIXED, Even, Lengths, LengthSpread, LogNormal, parse_spreads

HARNESS, TRACE = "harness", "trace"
"""Spreads of lengths that a table states in words: drawn evenly as a harness does, or those of a trace; sources.yaml
has their numbers."""
_SEQUENCES = 8
"""Arrivals at a rate over which a prediction is the mean: those of the measured run are not known, and the rate of n
random ones differs from the told one by 1/sqrt(n)."""


@dataclass(frozen=True)
class RunPredictor(PlacedPredictor):
    """isl, osl: tokens of each request, or the medians of a trace's; users: the mean number in service.

    requests: None where it was not published; same_prompt: every request has the same prompt, which the server knows
    already; lengths: how they lie about the stated ones, as `parse_spreads` reads it, HARNESS or TRACE;
    lengths_told: whether that is known and not assumed; windowed: only a window of the run is seen, in which users have
    long fallen out of step; stalled: its source reports host stalls; unsaid: its source does not say how many tokens
    came out, which may be fewer than `osl`; shared_tokens: with which all prompts begin; rate_per_s: of arrivals, None
    for users in a closed loop; arrival_seed: with which Python drew the times between them, None where that is not
    known; link: over which KV comes from a server alike that computes the prompts, "" for one server; inside: clients
    live in the front end's process and make up their prompts there; lab: whose set-up it was.
    """

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
    arrival_seed: int | None = None
    link: str = ""
    inside: bool = False
    lab: str = ""

    @property
    def traced(self) -> bool:
        """Whether lengths are those of a trace."""
        return self.lengths == TRACE

    @property
    def in_flight(self) -> float | None:
        """Most requests at once, on average; None where they come at a rate, whatever was finished before."""
        return None if self.rate_per_s is not None else self.users

    @property
    def servers(self) -> int:
        """Servers of the placement's cards that served the run together."""
        return 2 if self.link else 1

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
        if self.rate_per_s is not None and self.arrival_seed is None:
            return self._over_arrivals(numbers, seed, engine)
        lower, upper = max(1, math.floor(self.users)), math.ceil(self.users)
        low = self._run(lower, numbers, seed, engine)
        if lower == upper:
            return low
        high, share = self._run(upper, numbers, seed, engine), self.users - lower
        return {name: low[name] + (high[name] - low[name]) * share for name in low}

    def _over_arrivals(self, numbers: Numbers, seed: int, engine: AnalyticEngine | None) -> dict[str, float]:
        """The mean over several sequences of arrivals; a draw of the numbers has one of its own."""
        if numbers.draw:
            return self._run(1, numbers, seed + numbers.draw, engine)
        runs = [self._run(1, numbers, seed + sequence, engine) for sequence in range(_SEQUENCES)]
        return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}

    def _run(self, users: int, numbers: Numbers, seed: int, engine: AnalyticEngine | None) -> dict[str, float]:
        count = self.requests or users * max(1, round(numbers.observation["requests_per_user"]))
        count += users if self.windowed else 0
        deployment = numbers.apply(measured_deployment(self.placement), self.lab)
        if self.stalled:
            record = deployment.runtime_record
            record["host_stall_probability"] = numbers.observation["stall_per_step"] / record["host_stall_time"]
        load = self._load(users, count, numbers, seed)
        if engine is None or self.stalled:
            engine = analytic_engine(deployment, growth=numbers.growth)
        run = simulate(deployment, load, seed, engine) if not self.link else self._of_two(deployment, load, seed)
        if run.record.refused:
            raise UserError("the simulated server", "", f"refuses requests: {run.record.refused[0].refusal}")
        return dict(measure(run, Shown.COMPARED).figures)

    def _of_two(self, deployment: Deployment, load: Load, seed: int) -> ServedRun:
        """The run of a server for prompts and one for the rest."""
        pool = Pool(deployment, 1)
        wire = Transfer(load_server_link(self.link), layer_wise=False).wire(pool, pool)
        return simulate_pools(pool.instances, pool.instances, load, seed, wire, "round_robin").whole

    def _load(self, users: int, count: int, numbers: Numbers, seed: int) -> Load:
        part = numbers.of_lab(self.lab, "output_part") if self.unsaid else 1.0
        stated = self.isl, max(1, round(self.osl * part))
        isl, osl = (Lengths(*each) for each in zip(stated, self.spread(numbers.observation), strict=True))
        arrival = self._arrival(users, count)
        load = make_load(
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
        if not self.inside:
            return load
        return replace(load, drawing_s=self.isl * numbers.observation["prompt_token_time"])

    def _arrival(self, users: int, count: int) -> Arrival:
        """Users in a closed loop, or requests at times that are drawn or were drawn by the run's harness."""
        if self.rate_per_s is None:
            return Closed(users, self.windowed)
        if self.arrival_seed is None:
            return Poisson(self.rate_per_s)
        draw = random.Random(self.arrival_seed).expovariate
        return Timed(tuple(accumulate(draw(self.rate_per_s) for _ in range(count))))
