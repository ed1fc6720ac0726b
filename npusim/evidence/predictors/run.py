"""A serving run: users in a closed loop, in step or not, with identical prompts or not, of fixed or drawn lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.lengths import lognormal_lengths
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.metric_row import Shown
from npusim.serving.metrics import measure
from npusim.serving.simulate import Load, simulate
from npusim.workload.arrivals import Closed, Poisson
from npusim.workload.prompts import Prompt, Segment, shared_prefix_prompts

Lengths = tuple[tuple[int, int], ...]
"""Tokens in and out of each request."""


@dataclass(frozen=True)
class RunPredictor:
    """isl, osl: tokens of each request, or the medians of a trace's; users: the mean number in service.

    requests: None where it was not published; same_prompt: every request has the same prompt, which the server knows
    already; traced: lengths are lognormal about their medians; windowed: only a window of the run is seen, in which
    users have long fallen out of step; mixed: the lengths of each request are drawn up to isl and osl; stalled: its
    source reports host stalls; unsaid: its source does not say how many tokens came out, which may be fewer than
    `osl`; shared_tokens: with which all prompts begin; rate_per_s: of arrivals, None for users in a closed loop; lab:
    whose set-up it was.
    """

    placement: Placement
    isl: int
    osl: int
    users: float
    requests: int | None = None
    same_prompt: bool = False
    traced: bool = False
    windowed: bool = False
    mixed: bool = False
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
        return dict(measure(run, users if self.windowed else 0, Shown.COMPARED).figures)

    def _load(self, users: int, count: int, numbers: Numbers, seed: int) -> Load:
        if not self.traced:
            part = numbers.of_lab(self.lab, "output_part") if self.unsaid else 1.0
            osl = max(1, round(self.osl * part))
            if self.mixed:
                drawn = self._drawn_lengths(count, osl, numbers.observation["least_length"], seed)
                return Load(self.isl, osl, Closed(users), _prompts(drawn), drawn)
            shared = self.isl if self.same_prompt else self.shared_tokens
            prompts = shared_prefix_prompts(count, self.isl, shared)
            lengths = self._out_of_step(users, count, osl) if self.windowed else None
            arrival = Closed(users) if self.rate_per_s is None else Poisson(self.rate_per_s)
            return Load(self.isl, osl, arrival, prompts, lengths, warm=self.same_prompt)
        observation, longest = numbers.observation, numbers.observation["longest_context"]
        prompt, output = (observation[name] for name in ("prompt_spread", "output_spread"))
        isl = lognormal_lengths(self.isl, prompt, count, seed, longest - self.osl).tolist()
        osl = lognormal_lengths(self.osl, output, count, seed + 1, longest - self.isl).tolist()
        lengths = tuple(zip(isl, osl, strict=True))
        return Load(self.isl, self.osl, Closed(users), _prompts(lengths), lengths)

    def _drawn_lengths(self, count: int, osl: int, least: float, seed: int) -> Lengths:
        """Lengths of each request, evenly from `least` of the run's own."""
        draw = np.random.default_rng(seed).integers
        isls, osls = (draw(math.ceil(least * most), most, count, endpoint=True) for most in (self.isl, osl))
        return tuple(zip(isls.tolist(), osls.tolist(), strict=True))

    def _out_of_step(self, users: int, count: int, osl: int) -> Lengths:
        """The first answer of each user is cut at another length, so that the users end one after the other."""
        first = [(self.isl, math.ceil(osl * (user + 1) / users)) for user in range(min(users, count))]
        return (*first, *([(self.isl, osl)] * (count - len(first))))


def _prompts(lengths: Lengths) -> list[Prompt]:
    """Prompts that share nothing."""
    return [(Segment(index, tokens),) for index, (tokens, _) in enumerate(lengths)]
