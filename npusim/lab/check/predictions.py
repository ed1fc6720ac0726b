"""Predictions of runs under members, each made once and shared by all rows that need it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from npusim.bounds.power_cap import MEAN
from npusim.bounds.reading import Reading
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.validation.validate import described
from npusim.lab.check.judge import Predicted, figures_of_run
from npusim.serving.planning import closed_loop

_NEAR = {"tpot_ms_mean": (1.1, 0.3), "output_tokens_per_s": (0.3, 0.9), MEAN: (0.3, 0.4)}
"""How far the logarithm of a simulated run may lie below and above that of its closed form, which takes prompts one by
one (tests/test_check_sets.py); what measured figures lie beyond that and the interval is not simulated."""


@dataclass(frozen=True)
class Outcome:
    """figures: predictions by the names of measured figures; why_not: there are none."""

    figures: Mapping[str, Predicted]
    why_not: str = ""


Gaps = Mapping[str, float]


def distance(gaps: Gaps) -> float:
    """The largest gap."""
    return max(map(abs, gaps.values()), default=0.0)


def is_near(gaps: Gaps, widths: Mapping[str, float]) -> bool:
    """Whether a run with these gaps might hold the figures; widths: half-widths of the intervals of a like run."""
    known = ((*_NEAR[name], far, widths[name]) for name, far in gaps.items() if name in widths)
    return all(-below - width <= far <= above + width for below, above, far, width in known)


class Predictions:
    """The predictions of a check; made: how many runs were simulated."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.made = 0
        self._numbers: dict[str, Numbers] = {}
        self._engines: dict[Placement, AnalyticEngine] = {}
        self._outcomes: dict[RunPredictor, Outcome] = {}
        self._runtimes: dict[Placement, str] = {}
        self._estimates: dict[RunPredictor, dict[str, float]] = {}

    def outcome(self, predictor: RunPredictor) -> Outcome:
        """Of a run; of one whose prompts are cached, anything between that and one of which nothing is."""
        if predictor not in self._outcomes:
            self._outcomes[predictor] = self._predict(predictor)
        cached = self._outcomes[predictor]
        if not predictor.same_prompt or cached.why_not:
            return cached
        whole = self.outcome(replace(predictor, same_prompt=False)).figures
        return Outcome({name: replace(own, other=whole.get(name)) for name, own in cached.figures.items()})

    def _predict(self, predictor: RunPredictor) -> Outcome:
        placement, numbers = predictor.placement, self._of(predictor.arch)
        self.made += 1
        try:
            if placement not in self._engines:
                self._engines[placement] = AnalyticEngine(numbers.apply(measured_deployment(placement)))
            figures = predictor.predict(numbers, self._seed, self._engines[placement])
        except UserError as error:
            return Outcome({}, str(error))
        return Outcome(figures_of_run(predictor, figures, self._seed))

    def _of(self, arch: str) -> Numbers:
        if arch not in self._numbers:
            self._numbers[arch] = described(arch)
        return self._numbers[arch]

    def gaps(self, predictor: RunPredictor, measured: Mapping[str, Reading]) -> Gaps:
        """How far measured figures lie from a closed form of the run, by figure: logarithms of their ratio; 0 between
        those with nothing and with all prompts cached."""
        ends = [self._estimate(predictor)]
        if predictor.same_prompt:
            ends.append(self._estimate(replace(predictor, same_prompt=False)))
        found = {}
        for name in _NEAR:
            if name in measured and measured[name].value > 0.0:
                logs = [math.log(measured[name].value / end[name]) for end in ends]
                found[name] = min(logs) if min(logs) > 0.0 else min(0.0, max(logs))
        return found

    def _estimate(self, predictor: RunPredictor) -> dict[str, float]:
        """Of the run under the first runtime that its chip and plan were asked with: runtimes differ by less."""
        placement = replace(predictor.placement, sequences=None)
        runtime = self._runtimes.setdefault(replace(placement, runtime=""), placement.runtime)
        predictor = replace(predictor, placement=replace(placement, runtime=runtime))
        if predictor not in self._estimates:
            where = self._of(predictor.arch).apply(measured_deployment(predictor.placement))
            users, osl = round(predictor.users), max(2, predictor.osl)
            loop = closed_loop(where, predictor.isl, osl, users, predictor.same_prompt)
            figures = loop.tpot_ms, loop.output_tokens_per_s, loop.output_tokens_per_s / loop.tokens_per_joule
            self._estimates[predictor] = dict(zip(_NEAR, figures, strict=True))
        return self._estimates[predictor]
