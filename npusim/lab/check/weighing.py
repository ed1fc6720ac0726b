"""The verdict on a run over every member of what it does not tell: that of the member which allows it best.

The assumed member comes first, and where it allows all figures nothing else is asked. Else bounds are laid over
everything that they can tell apart; what none of it allows is impossible. Members whose bounds hold are simulated from
the nearest on, by closed forms of their runs, and those that closed forms put out of reach are not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE, UNCHECKED, VERDICTS, Finding
from npusim.bounds.load import BoundedLoad
from npusim.bounds.reading import Reading
from npusim.bounds.unit_readings import explained
from npusim.conditions.conditions import Member
from npusim.conditions.known import DecidingValues, Known
from npusim.evidence.predictors.run import RunPredictor
from npusim.lab.check.judge import judge, run_findings
from npusim.lab.check.placing import Footing, Placed, footings, load_on, predictor_of, usual_load
from npusim.lab.check.predictions import Outcome, Predictions, rooms
from npusim.lab.check.row import CheckedFigure
from npusim.lab.files.lab_run import LabRun
from npusim.metric_names import told_as
from npusim.metrics import TABLE_COLUMN

_MOST_TRIED = 40
"""Members that are simulated for one row before it is left unchecked."""
_MOST_MADE = 200
"""Simulated runs of a check after which a row gets `_FEW_TRIED` members alone: no folder may take minutes."""
_FEW_TRIED = 4
_NAMED = ("runtime", "precision", "cards", "prompts")
"""Conditions whose values are all looked at before a verdict names those that allow a run."""


@dataclass(frozen=True)
class Trial:
    """What one member, or one footing, makes of a run. badness: how far figures lie outside what it allows."""

    member: Member | None
    footing: Footing | None
    figures: tuple[CheckedFigure, ...]
    whole: tuple[CheckedFigure, ...]
    badness: float

    @property
    def verdict(self) -> str:
        """The gravest of its figures and of the run as a whole."""
        found = [VERDICTS.index(each.verdict) for each in (*self.whole, *self.figures)]
        return VERDICTS[min(found, default=VERDICTS.index(UNCHECKED))]

    @property
    def allows(self) -> bool:
        """Whether it excludes no figure."""
        return self.verdict in (PLAUSIBLE, UNCHECKED)


@dataclass(frozen=True)
class Weighed:
    """The figures under the member that allows the run best, what is said of the run as a whole, and the conditions.

    member: that allows all figures, None without any.
    """

    figures: tuple[CheckedFigure, ...]
    whole: tuple[CheckedFigure, ...]
    known: Known
    member: Member | None = None


def weigh(run: LabRun, placed: Placed, predictions: Predictions, whole: bool = True) -> Weighed:
    """The verdict on a run; whole: it is no part of another run's figures."""
    first = _assumed(run, placed, predictions)
    if first is not None and first.allows:
        return _weighed(placed, first)
    fixed = _trial(run, run_findings(run, placed, None, placed.conditions.cards), Outcome({}, _why(placed)))
    if fixed.verdict == IMPOSSIBLE:
        return _weighed(placed, first or fixed)
    members = () if placed.question is None else tuple(placed.conditions.members(placed.question))
    bounded = [(_bounded(run, placed, footing), footing) for footing in footings(placed, members)]
    if not bounded:
        return _weighed(placed, first or fixed)
    open_footings = {footing for trial, footing in bounded if trial.allows}
    if not open_footings:
        return _excluded(placed, [trial for trial, _ in bounded], first)
    if first is None or placed.no_prediction or not members:
        return _within_bounds(placed, bounded, members)
    return _Search(run, placed, predictions, members, first, whole).over(open_footings)


def _why(placed: Placed) -> str:
    return placed.no_load or placed.no_prediction


def _assumed(run: LabRun, placed: Placed, predictions: Predictions) -> Trial | None:
    """The assumed member's, its formats at their most favourable for the bounds; None without one."""
    member = placed.assumed
    if member is None:
        return None
    predictor = placed.no_prediction or predictor_of(run, placed, member)
    outcome = Outcome({}, predictor) if isinstance(predictor, str) else predictions.outcome(predictor)
    return _trial(run, run_findings(run, placed, usual_load(run, placed), member["cards"]), outcome, member)


def _bounded(run: LabRun, placed: Placed, footing: Footing) -> Trial:
    """What bounds alone make of a run on a footing."""
    load: BoundedLoad | None = load_on(run, placed, footing)
    found = run_findings(run, placed, load, footing.cards)
    return replace(_trial(run, found, Outcome({}, _why(placed))), footing=footing)


def _trial(run: LabRun, found: Sequence[Finding], outcome: Outcome, member: Member | None = None) -> Trial:
    figures = tuple(
        judge(
            told_as(TABLE_COLUMN, metric),
            measured,
            [each for each in found if each.metric == metric],
            outcome.figures.get(metric),
            outcome.why_not,
        )
        for metric, measured in run.figures.items()
    )
    whole = tuple(
        CheckedFigure("", Reading.exact(0.0), each.verdict, each.reason, each.bound, each.limit)
        for each in found
        if each.metric == "" and each.low > 1.0
    )
    broken = max((math.log(each.low) for each in found if each.verdict != PLAUSIBLE), default=0.0)
    apart = max(
        (part.apart(run.figures[name]) for name, part in outcome.figures.items() if name in run.figures), default=0.0
    )
    return Trial(member, None, figures, whole, max(0.0, broken, apart))


def _best(trials: Iterable[Trial]) -> Trial:
    """The most lenient, among equals the one that is broken least."""
    return max(trials, key=lambda trial: (VERDICTS.index(trial.verdict), -trial.badness))


def _weighed(placed: Placed, trial: Trial, deciding: DecidingValues = ()) -> Weighed:
    """The trial's figures, those that hold with what must be true for it."""
    known = Known.of(placed.conditions, placed.assumed, deciding)
    figures = trial.figures
    if known.needs:
        figures = tuple(
            replace(each, reason=f"{each.reason}; if {known.needs}") if each.verdict == PLAUSIBLE else each
            for each in figures
        )
    return Weighed(figures, trial.whole, known, trial.member if trial.allows else None)


def _excluded(placed: Placed, trials: Sequence[Trial], first: Trial | None) -> Weighed:
    """A run that bounds allow on no footing; first: the assumed member's, whose predictions may explain a slip."""
    best = _best(trials)
    assert best.footing is not None
    nearest = best.footing.text(placed.conditions)
    if not nearest:
        return _weighed(placed, best)

    slips = {
        each.metric: explained(each.metric, each.measured.value, each.low, each.high)
        for each in (() if first is None else first.figures)
        if each.low is not None and each.high is not None
    }

    def told(each: CheckedFigure) -> CheckedFigure:
        bad = each.verdict in (IMPOSSIBLE, IMPLAUSIBLE)
        slip = f"; it would be plausible if {slips[each.metric]}" if slips.get(each.metric) else ""
        return replace(each, reason=f"{each.reason}; even with {nearest}, which allow most{slip}") if bad else each

    joint = _jointly(trials, best)
    whole = (*map(told, best.whole), *joint)
    return _weighed(placed, replace(best, figures=tuple(map(told, best.figures)), whole=whole))


def _jointly(trials: Sequence[Trial], best: Trial) -> tuple[CheckedFigure, ...]:
    """What is said where every figure that the best trial excludes is allowed by another one."""
    bad = [each.metric for each in best.figures if each.verdict in (IMPOSSIBLE, IMPLAUSIBLE)]
    if not bad or best.whole:
        return ()
    for metric in bad:
        verdicts = [each.verdict for trial in trials for each in trial.figures if each.metric == metric]
        if all(verdict in (IMPOSSIBLE, IMPLAUSIBLE) for verdict in verdicts):
            return ()
    reason = f"no one setting allows all figures together; the nearest excludes {', '.join(bad)}"
    return (CheckedFigure("", Reading.exact(0.0), best.verdict, reason, "joint"),)


def _within_bounds(placed: Placed, bounded: Sequence[tuple[Trial, Footing]], members: Sequence[Member]) -> Weighed:
    """A run of which nothing is predicted, and that bounds allow on some footing."""
    allowed = [footing for trial, footing in bounded if trial.allows]
    best = _best(trial for trial, _ in bounded)
    names = ("precision", "kv_precision", "cards")
    every = [footing for _, footing in bounded]
    deciding = tuple(
        (name, values)
        for name in names
        if (values := _values(allowed, name)) != _values(every, name) and getattr(placed.conditions, name) is None
    )
    weighed = _weighed(placed, best, deciding)
    if not weighed.known.needs:
        return weighed
    figures = tuple(
        replace(each, reason=f"{each.reason}; possible if {weighed.known.needs}") if each.verdict == UNCHECKED else each
        for each in weighed.figures
    )
    return replace(weighed, figures=figures)


def _values(found: Iterable[Any], name: str) -> tuple[Any, ...]:
    values = dict.fromkeys(getattr(each, name) for each in found)
    return tuple(sorted(values)) if name == "cards" else tuple(values)


class _Search:
    """Members of a run whose bounds hold, simulated from the nearest on."""

    def __init__(
        self,
        run: LabRun,
        placed: Placed,
        predictions: Predictions,
        members: Sequence[Member],
        first: Trial,
        whole: bool,
    ) -> None:
        self._run, self._placed, self._predictions, self._members = run, placed, predictions, members
        self._whole = whole
        self._trials: list[Trial] = []
        self._first = first
        self._most = _MOST_TRIED if predictions.made < _MOST_MADE else _FEW_TRIED

    def over(self, allowed_footings: Collection[Footing]) -> Weighed:
        """The verdict over the members on these footings."""
        waiting = self._tried(allowed_footings)
        allowed = self._allowed()
        best = _best(self._trials or [self._first])
        if allowed:
            return _weighed(self._placed, best, self._deciding(allowed))
        if waiting:
            return self._undecided(best, waiting)
        return _weighed(self._placed, self._explained(best))

    def _tried(self, allowed_footings: Collection[Footing]) -> int:
        """Simulates members, as many as are needed and may be; how many were left."""
        waiting = self._ordered(allowed_footings)
        while waiting and len(self._trials) < self._most:
            chosen = self._next(waiting)
            if chosen is None:
                break
            self._trials.append(self._try(*waiting.pop(chosen)))
        return len(waiting)

    def _allowed(self) -> list[Member]:
        """Members that were found to allow the run."""
        return [trial.member for trial in self._trials if trial.allows and trial.member is not None]

    def _ordered(self, allowed_footings: Collection[Footing]) -> list[tuple[RunPredictor, Member]]:
        """One member for each run that can differ, the nearest first."""
        assert self._placed.assumed is not None
        known = predictor_of(self._run, self._placed, self._placed.assumed)
        assumed = None if isinstance(known, str) else known
        widths = {} if assumed is None else self._predictions.outcome(assumed).figures
        half = {name: part.half_width for name, part in widths.items()}
        field = self._predictions.field(self._run, self._placed, self._members)
        return field.nearest(self._run.figures, allowed_footings, rooms(half), assumed)

    def _next(self, waiting: Sequence[tuple[RunPredictor, Member]]) -> int | None:
        """The nearest; once a member allows the run, the nearest with a value that none which was tried has."""
        if not self._allowed():
            return 0
        tried = [trial.member for trial in self._trials if trial.member is not None]
        for name in _NAMED:
            for place, (_, member) in enumerate(waiting):
                if all(member[name] != other[name] for other in tried):
                    return place
        return None

    def _try(self, predictor: RunPredictor, member: Member) -> Trial:
        load = load_on(self._run, self._placed, Footing.of(member))
        found = run_findings(self._run, self._placed, load, member["cards"])
        return _trial(self._run, found, self._predictions.outcome(predictor), member)

    def _deciding(self, allowed: Sequence[Member]) -> DecidingValues:
        """Open conditions of which not every value was found to allow the run, with those that were."""
        found = []
        for name in _NAMED:
            if getattr(self._placed.conditions, name) is None:
                values, every = (
                    tuple(dict.fromkeys(member[name] for member in members)) for members in (allowed, self._members)
                )
                if len(values) < len(every):
                    found.append((name, tuple(sorted(values)) if name == "cards" else values))
        return tuple(found)

    def _undecided(self, best: Trial, untried: int) -> Weighed:
        """A run that every member tried excludes, where others might allow it."""
        more = f"{len(self._trials)} settings exclude it, {untried} more that are not told were not simulated"
        figures = tuple(
            replace(each, verdict=UNCHECKED, reason=f"{each.reason}; {more}; tell more of the run")
            if each.verdict in (IMPOSSIBLE, IMPLAUSIBLE)
            else each
            for each in best.figures
        )
        return _weighed(self._placed, replace(best, figures=figures, whole=()))

    def _explained(self, best: Trial) -> Trial:
        """The best of the members that all exclude a run, named."""
        if best.member is None or len(self._members) == 1:
            return best
        nearest = self._named(best.member)
        figures = tuple(
            replace(each, reason=f"{each.reason}; nearest setting: {nearest}") if each.verdict == IMPLAUSIBLE else each
            for each in best.figures
        )
        return replace(best, figures=figures, whole=(*best.whole, *self._jointly(best, nearest)))

    def _named(self, member: Member) -> str:
        return member.text(tuple(name for name in self._placed.conditions.open if name in _NAMED))

    def _jointly(self, best: Trial, nearest: str) -> tuple[CheckedFigure, ...]:
        """What is said where another member allows the figures that the best one excludes."""
        bad = {each.metric for each in best.figures if each.verdict == IMPLAUSIBLE}
        part = {name: each for name, each in self._run.figures.items() if told_as(TABLE_COLUMN, name) in bad}
        if not self._whole or len(part) == len(self._run.figures):
            return ()
        other = weigh(replace(self._run, figures=part), self._placed, self._predictions, whole=False)
        if other.member is None:
            return ()
        told = f"{', '.join(sorted(bad))} would do with {self._named(other.member)}, the others with {nearest}"
        reason = f"no one setting allows all figures together: {told}"
        return (CheckedFigure("", Reading.exact(0.0), IMPLAUSIBLE, reason, "joint"),)
