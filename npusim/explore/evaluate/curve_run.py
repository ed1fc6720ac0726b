"""A claimed curve from its rows to its verdict: times of every point on the same drawn machines, and their bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from npusim.answers.collective import GroupedCollective
from npusim.answers.collective_times import CollectiveTimes
from npusim.bounds.fabric_cut import favourable, least_time
from npusim.errors import UserError
from npusim.explore.evaluate.curve import CurveBaseline, CurveClaim
from npusim.explore.evaluate.curve_judged import JudgedCurve, JudgedPoint, Readout
from npusim.explore.evaluate.draws import DRAWS
from npusim.explore.evaluate.evidence import ASSUMED, HANGS, withheld
from npusim.explore.evaluate.prediction import ACCEPTANCE, MOST_DRAWS
from npusim.explore.evaluate.proposal import Proposal
from npusim.hardware.catalog import load_system
from npusim.hardware.system import System
from npusim.ledger import provenances
from npusim.mapping.deployment import Deployment
from npusim.serving.decision import Decision, decide
from npusim.serving.uncertainty import interval
from npusim.words import Phrase

_ROUNDING = 1e-9
"""What computing with floats may add to a claim of the very rate of a link."""
_NAMED = 3
"""Assumed numbers that a reason names."""


def judge_curve(
    claim: CurveClaim, arch: str, proposal: Proposal, path: Path, deployment: Deployment, seed: int
) -> JudgedCurve:
    """Judge every point of a curve; path: the proposal's; deployment: any of the chip. Raises UserError."""
    try:
        runs = _Runs(claim, arch, seed)
    except UserError as error:
        raise UserError(str(path), f"curves: {claim.name}", error.message) from error
    settled = tuple(runs.decided(reading) for reading in range(len(runs.readings)))
    reasons = (*withheld(proposal.maturity, arch, deployment, (), None), *_unmeasured(deployment.system))
    return JudgedCurve(claim, [runs.judged(index) for index in range(len(claim.points))], settled, reasons)


def _unmeasured(system: System) -> Iterator[Phrase]:
    """The assumed numbers of the fabric of a chip that is no silicon."""
    fabric = provenances(f"{system.name}.server.fabric", system.server.fabric)
    assumed = [f"{each.owner}.{each.path}" for each in fabric if each.quantity.kind == ASSUMED]
    if assumed and not system.silicon:
        yield Phrase(HANGS, {"names": ", ".join(assumed[:_NAMED])})


class _Runs:
    """Times of all points in each reading, and those of the baseline, batch by batch of drawn machines."""

    def __init__(self, claim: CurveClaim, arch: str, seed: int) -> None:
        self._claim, self._arch, self._seed = claim, arch, seed
        chips = load_system(arch).chips_per_card
        self._ranks = [each.cards * chips for each in claim.points]
        asked = _collectives(claim, self._ranks, claim.library, claim.algorithm)
        self._links = CollectiveTimes(arch, asked, free_software=True)
        described = CollectiveTimes(arch, asked)
        self.readings = (described,) if claim.library is not None else (described, self._links)
        self._base = None if claim.baseline is None else _baseline(claim, claim.baseline, arch, self._ranks)
        self._batches: list[list[np.ndarray]] = []

    def decided(self, reading: int) -> Decision:
        """Whether all points hold at once in a reading."""

        def parts(batch: int) -> np.ndarray:
            return np.asarray((self._times(batch)[reading] <= self._limits(batch)).all(axis=1), float)

        return decide(parts, ACCEPTANCE.thresholds, ACCEPTANCE.answers, most=MOST_DRAWS)

    def judged(self, index: int) -> JudgedPoint:
        """One point beside its bound."""
        point, ranks = self._claim.points[index], self._ranks[index]
        least = least_time(
            favourable(load_system(self._arch, uncalibrated=True).server.fabric), point.operation, point.bytes, ranks
        )
        limit = self._figures(least.seconds, index, self._slowest_base(index))
        beyond = point.value / limit if self._claim.wants_more else limit / point.value
        broken = beyond > 1.0 + _ROUNDING
        found = tuple(self._readout(reading, index) for reading in range(len(self.readings)))
        limit_s = self._limit(index, self._base_s[index])
        return JudgedPoint(point, ranks, limit, least, self._links.alpha_beta(index), limit_s, broken, found)

    def _readout(self, reading: int, index: int) -> Readout:
        drawn = np.concatenate([each[reading][:, index] for each in self._batches])
        limits = np.concatenate([self._limits(batch)[:, index] for batch in range(len(self._batches))])
        own, base = self.readings[reading].described[index], self._base_s[index]
        if not np.isfinite(own):
            return Readout(None, None, None, 0.0)
        bases = self._base_drawn(index)
        figures = [self._figures(time, index, of) for time, of in zip(drawn, bases, strict=True)]
        value = self._figures(own, index, base)
        return Readout(value, *interval(value, figures, 0.0), float((drawn <= limits).mean()))

    @cached_property
    def _base_s(self) -> np.ndarray:
        """Times of the described baseline, NaN without one, float64 (points,)."""
        return np.full(len(self._ranks), np.nan) if self._base is None else self._base.described

    def _times(self, batch: int) -> list[np.ndarray]:
        """Of a batch the times (DRAWS, points) in each reading, then those of the baseline."""
        while len(self._batches) <= batch:
            sources = [*self.readings, *([] if self._base is None else [self._base])]
            self._batches.append([each.drawn(DRAWS, self._seed + len(self._batches)) for each in sources])
        return self._batches[batch]

    def _limits(self, batch: int) -> np.ndarray:
        """Seconds within which each point holds on each machine of a batch, (DRAWS, points)."""
        bases = self._base_s[np.newaxis] if self._base is None else self._times(batch)[-1]
        limits = [[self._limit(index, base) for index, base in enumerate(row)] for row in bases]
        return np.broadcast_to(np.array(limits), (DRAWS, len(self._ranks)))

    def _base_drawn(self, index: int) -> np.ndarray:
        if self._base is None:
            return np.full(len(self._batches) * DRAWS, np.nan)
        return np.concatenate([each[-1][:, index] for each in self._batches])

    def _slowest_base(self, index: int) -> float:
        """The upper end of the 90 % interval of the baseline's time, which favours the claim."""
        if self._base is None:
            return float("nan")
        return interval(float(self._base_s[index]), self._base_drawn(index).tolist(), 0.0)[1]

    def _limit(self, index: int, base_s: float) -> float:
        """Seconds within which a point holds, where its baseline takes base_s."""
        point, ranks = self._claim.points[index], self._ranks[index]
        if self._base is None:
            return self._claim.seconds(point.value, point, ranks)
        return base_s * self._moved(index) / point.value

    def _figures(self, own_s: float, index: int, base_s: float) -> float:
        """The claimed figure of a time: the metric, or how many times better than the baseline it is."""
        if self._base is None:
            return self._claim.figure(own_s, self._claim.points[index], self._ranks[index])
        return base_s * self._moved(index) / own_s

    def _moved(self, index: int) -> float:
        """What a point moves over what its baseline does, 1 for times."""
        assert self._base is not None
        point, ranks = self._claim.points[index], self._ranks[index]
        return self._claim.moved(point, ranks) / self._claim.moved(point, self._base.asked[index].ranks)


def _baseline(claim: CurveClaim, told: CurveBaseline, arch: str, ranks: Sequence[int]) -> CollectiveTimes:
    """The same collectives on the baseline's fabric, as its library is described. Raises UserError."""
    other = told.architecture or arch
    chips = load_system(other).chips_per_card
    counts = [each if told.cards is None else told.cards * chips for each in ranks]
    return CollectiveTimes(other, _collectives(claim, counts, told.library, told.algorithm))


def _collectives(
    claim: CurveClaim, ranks: Sequence[int], library: str | None, algorithm: str | None
) -> list[GroupedCollective]:
    return [
        GroupedCollective(each.operation, each.bytes, count, 1, algorithm, library)
        for each, count in zip(claim.points, ranks, strict=True)
    ]
