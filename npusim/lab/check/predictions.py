"""Predictions of runs under members, each made once and shared by all rows that need it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.bounds.power_cap import MEAN
from npusim.conditions.conditions import Member
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.speculation import analytic_engine
from npusim.errors import UserError
from npusim.evidence.measured.case import OF_THE_RUN, Numbers
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.run import RunPredictor
from npusim.evidence.validation.validate import described
from npusim.hardware.runtime import InterleavedPolicy
from npusim.inputs import remembered
from npusim.lab.check.field import Field
from npusim.lab.check.judge import Predicted, figures_of_run
from npusim.lab.check.placing import Placed, predictor_of
from npusim.lab.files.lab_run import LabRun
from npusim.serving.planning import closed_loop

_NEAR = {"tpot_ms_mean": (1.1, 0.3), "output_tokens_per_s": (0.3, 0.9), MEAN: (0.3, 0.4)}
"""How far the logarithm of a simulated run may lie below and above that of its closed form, which takes prompts one by
one (tests/test_check_sets.py); what measured figures lie beyond that and the interval is not simulated."""


@dataclass(frozen=True)
class Outcome:
    """figures: predictions by the names of measured figures; why_not: there are none."""

    figures: Mapping[str, Predicted]
    why_not: str = ""


def rooms(widths: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """How far figures may lie below and above the closed form of a run that might hold them; widths: half-widths of the
    intervals of a like run."""
    return {
        name: (below + widths[name], above + widths[name]) for name, (below, above) in _NEAR.items() if name in widths
    }


def _may_have_been(predictor: RunPredictor) -> Iterator[RunPredictor]:
    """What a run may have been beside what it is taken for."""
    policy = _prompts_first(predictor.placement)
    for same_prompt in dict.fromkeys((predictor.same_prompt, False)):
        for each in (predictor.placement, *policy):
            other = replace(predictor, same_prompt=same_prompt, placement=each)
            if other != predictor:
                yield other


@remembered
def _prompts_first(placement: Placement) -> tuple[Placement, ...]:
    """The placement where as many prompt tokens as may be come between two decode steps, if that is only assumed."""
    policy = measured_deployment(placement).runtime.policy
    if not isinstance(policy, InterleavedPolicy) or policy.token_budget.high is None:
        return ()
    most = {"value": f"{policy.token_budget.high:.0f} token", "kind": "derived", "source": OF_THE_RUN}
    told = {"kind": policy.kind, "token_budget": most, "source": policy.source}
    return (replace(placement, policy=InterleavedPolicy.model_validate(told)),)


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
        self._fields: dict[Hashable, Field] = {}

    def outcome(self, predictor: RunPredictor) -> Outcome:
        """Of a run; anything between that and others that it may have been as well: of one whose prompts are cached,
        one of which nothing is, and where it is not known how prompts and decode steps take turns, prompts first."""
        own = self._outcome(predictor)
        if own.why_not:
            return own
        for other in map(self._outcome, _may_have_been(predictor)):
            own = Outcome({name: part.or_towards(other.figures.get(name)) for name, part in own.figures.items()})
        return own

    def _outcome(self, predictor: RunPredictor) -> Outcome:
        if predictor not in self._outcomes:
            self._outcomes[predictor] = self._predict(predictor)
        return self._outcomes[predictor]

    def _predict(self, predictor: RunPredictor) -> Outcome:
        placement, numbers = predictor.placement, self._of(predictor.arch)
        self.made += 1
        try:
            if placement not in self._engines:
                self._engines[placement] = analytic_engine(numbers.apply(measured_deployment(placement)))
            figures = predictor.predict(numbers, self._seed, self._engines[placement])
        except UserError as error:
            return Outcome({}, str(error))
        return Outcome(figures_of_run(predictor, figures, self._seed))

    def _of(self, arch: str) -> Numbers:
        if arch not in self._numbers:
            self._numbers[arch] = described(arch)
        return self._numbers[arch]

    def field(self, run: LabRun, placed: Placed, members: Sequence[Member]) -> Field:
        """All that the run may have been; made once for rows that differ in their figures alone."""
        setting, conduct = placed.setting, run.conduct
        key = (
            placed.conditions,
            placed.question,
            setting.isl,
            setting.osl,
            setting.users,
            conduct.requests,
            conduct.completed,
        )
        if key not in self._fields:
            found: dict[RunPredictor, Member] = {}
            for member in members:
                predictor = predictor_of(run, placed, member)
                if not isinstance(predictor, str):
                    found.setdefault(predictor, member)
            self._fields[key] = self.field_of(found)
        return self._fields[key]

    def field_of(self, found: Mapping[RunPredictor, Member]) -> Field:
        """The field of these runs."""
        ends = np.empty((len(found), len(_NEAR), 2))
        for place, predictor in enumerate(found):
            own = self._estimate(predictor)
            other = self._estimate(replace(predictor, same_prompt=False)) if predictor.same_prompt else own
            ends[place] = [(own[name], other[name]) for name in _NEAR]
        return Field(tuple(found), tuple(found.values()), tuple(_NEAR), np.log(ends))

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
