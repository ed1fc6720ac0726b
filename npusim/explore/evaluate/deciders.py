"""The numbers that decide a claim: what measuring each would tell of it, and what each would have to be alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.estimated import changed_estimates, follows
from npusim.explore.evaluate.information import WELL, after, gain_bits, margin_of
from npusim.explore.one_changed import every_of, ranged_of, to_ends
from npusim.hardware.draws import RangedNumber, is_ranged, range_z
from npusim.ledger import Quantity
from npusim.mapping.deployment import Deployment

_MOST = 3
_LEAST_SWING = 1e-3
REACH = 30.0
_NEXT = 4
"""Whole counts that are tried from the one before the number at which the claim just holds."""


@dataclass(frozen=True)
class ClaimDecider:
    """owner, path: of the number; quantity: its provenance; at_low, at_high: the claim's figure at the ends of its
    range (the prediction itself without a range), all else at its value; needed: the value at which the claim's
    prediction just holds, of a count the next whole one that passes, None where none within a factor of 30 does;
    wants_more: whether it holds above that; is_count: whether the number counts things, which have no fractions; gain:
    bits that are expected from measuring it; holds: whether the claim holds at the number's own value."""

    owner: str
    path: str
    quantity: Quantity
    at_low: float
    at_high: float
    needed: float | None
    wants_more: bool
    is_count: bool = False
    gain: float = 0.0
    holds: bool = False

    @property
    def swing(self) -> float:
        return abs(math.log(self.at_high / self.at_low))

    @property
    def is_ranged(self) -> bool:
        return is_ranged(self.quantity)


@dataclass(frozen=True)
class Group:
    """Numbers that one measurement would tell. name: what they are; numbers: how many have a range; leading: the one
    whose range moves the figure most; gain: bits expected from measuring all of them; share: part of the variance of
    the figure's logarithm that is theirs; well, badly: the probability of the claim once they are measured, where their
    part turns out at its 90th and at its 10th percentile in the claim's favour."""

    name: str
    numbers: int
    leading: str
    gain: float
    share: float
    well: float
    badly: float


_GROUPS = (
    ("host", "host."),
    ("fixed times of the compiled graphs", "paths."),
    ("on-chip reductions", "reduction"),
    ("links and collectives", "fabric."),
    ("links and collectives", "link."),
    ("PIM units", "chip.pim."),
    ("memory", "chip.memory."),
    ("power", "chip.power."),
    ("compute units", "chip.unit."),
    ("KV cache and limits", "kv."),
    ("KV cache and limits", "limits."),
    ("number formats", "element."),
    ("expert routing", "skew"),
)
"""Groups of numbers by what their path has in it, the first that fits; others are "other numbers"."""
OTHER = "other numbers"


@dataclass(frozen=True)
class _Deciding:
    """numbers: at most _MOST, by what measuring them tells; groups: all ranged numbers by group, likewise."""

    numbers: list[ClaimDecider]
    groups: list[Group]


def claim_deciders(
    claim: Claim, deployment: Deployment, value: float, unexplained: float = 0.0, probability: float | None = None
) -> _Deciding:
    """The numbers that decide a claim. value: the prediction; unexplained: 90 % half-width that no number explains;
    probability: that the claim holds, which what measuring tells starts from (that of a normal logarithm if omitted).

    Those of which measuring tells most, first; where none of these can make a claim hold that does not, those of all
    numbers that would with the least change. None where no estimate follows the metric, or it is a ratio.
    """
    if follows(claim) is None or claim.baseline is not None or not value > 0.0:
        return _Deciding([], [])
    moving = _Moving(claim, deployment, value, unexplained, probability)
    found = moving.deciders()
    if claim.holds(value) or any(each.needed is not None for each in found):
        return _Deciding(found, moving.groups())
    return _Deciding(_reaching(claim, deployment, value) or found, moving.groups())


class _Moving:
    """How far the figure moves between the ends of every ranged number."""

    def __init__(
        self, claim: Claim, deployment: Deployment, value: float, unexplained: float, probability: float | None
    ) -> None:
        self._claim, self._deployment, self._value = claim, deployment, value
        self._numbers = ranged_of(deployment)
        self._ratios = changed_estimates(claim, deployment, to_ends(self._numbers)).reshape(-1, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            swings = np.abs(np.log(self._ratios[:, 1] / self._ratios[:, 0]))
        self._swings = np.where(np.isfinite(swings), swings, 0.0)
        self._sds = self._swings / (2.0 * range_z())
        self._rest = unexplained / range_z()
        margin = math.log(value / claim.value)
        self._margin = margin if claim.wants_more else -margin
        if probability is not None:
            self._margin = margin_of(probability, math.hypot(self._rest, *self._sds))

    def _gain(self, members: np.ndarray) -> float:
        """Bits from measuring the numbers at those positions together."""
        return gain_bits(self._margin, *self._parts(members))

    def _parts(self, members: np.ndarray) -> tuple[float, float]:
        """Standard deviations of what those numbers add to the logarithm, and of all else."""
        part = float(np.sqrt((self._sds[members] ** 2).sum()))
        return part, math.hypot(self._rest, *np.delete(self._sds, members))

    def deciders(self) -> list[ClaimDecider]:
        order = np.argsort(-self._swings, kind="stable")[:_MOST]
        return [
            replace(
                _decider(self._claim, self._deployment, self._numbers[at], self._value, self._ratios[at]),
                gain=self._gain(np.array([at])),
            )
            for at in order.tolist()
            if self._swings[at] > _LEAST_SWING
        ]

    def groups(self) -> list[Group]:
        """All groups whose numbers move the figure."""
        names = np.array([_group_of(members[0].label) for members in self._numbers])
        variance = float((self._sds**2).sum()) + self._rest**2
        found = []
        for name in dict.fromkeys(names.tolist()):
            at = np.flatnonzero((names == name) & (self._swings > _LEAST_SWING))
            if len(at):
                share = float((self._sds[at] ** 2).sum()) / variance
                leading = self._numbers[int(at[np.argmax(self._swings[at])])][0]
                well, badly = (after(self._margin, *self._parts(at), end) for end in (WELL, 1.0 - WELL))
                path = f"{leading.owner}.{leading.label}"
                found.append(Group(name, len(at), path, self._gain(at), share, well, badly))
        return sorted(found, key=lambda group: (-group.gain, -group.share))


def _group_of(path: str) -> str:
    return next((name for name, part in _GROUPS if part in path), OTHER)


def _reaching(claim: Claim, deployment: Deployment, value: float) -> list[ClaimDecider]:
    """The numbers, ranged or not, that alone make the claim hold with the least change of their logarithm."""
    numbers = [members for members in every_of(deployment) if members[0].quantity.value]
    quantities = ((members, members[0].quantity) for members in numbers)
    ends = [(members, known.value * factor) for members, known in quantities for factor in _reach(known)]
    figures = value * changed_estimates(claim, deployment, ends).reshape(-1, 2)
    able = [members for members, both in zip(numbers, figures, strict=True) if any(map(claim.holds, both))]
    found = [_decider(claim, deployment, members, value, np.ones(2)) for members in able]
    reached = [each for each in found if each.needed is not None]
    return sorted(reached, key=lambda each: abs(math.log((each.needed or 1.0) / each.quantity.value)))[:_MOST]


def _decider(
    claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float, ratios: np.ndarray
) -> ClaimDecider:
    number, needed = members[0], _needed(claim, deployment, members, value)
    wants_more = needed is not None and (needed > number.quantity.value) != claim.holds(value)
    if needed is not None and number.is_count:
        needed = _whole(claim, deployment, members, value, needed, wants_more)
    ends = value * float(ratios[0]), value * float(ratios[1])
    told = number.owner, number.label, number.quantity, *ends, needed, wants_more
    return ClaimDecider(*told, number.is_count, holds=claim.holds(value))


def _needed(claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float) -> float | None:
    """The number's value at which the prediction meets the claim, alone; None where none within reach does."""
    start = members[0].quantity.value

    def short(log_factor: float) -> float:
        ratio = changed_estimates(claim, deployment, [(members, start * math.exp(log_factor))])[0]
        return math.log(value * ratio / claim.value) if math.isfinite(ratio) and ratio > 0.0 else math.nan

    if start <= 0.0:
        return None
    for factor in _reach(members[0].quantity):
        end = math.log(factor)
        ends = short(0.0), short(end)
        if end != 0.0 and math.isfinite(ends[1]) and ends[0] * ends[1] <= 0.0:
            return start * math.exp(float(brentq(short, *sorted((0.0, end)), xtol=1e-4)))
    return None


def _whole(
    claim: Claim, deployment: Deployment, members: list[RangedNumber], value: float, needed: float, wants_more: bool
) -> float | None:
    """The whole count next to `needed` at which the claim holds; None where none of the next few does."""
    first, step = (math.floor(needed), 1) if wants_more else (math.ceil(needed), -1)
    counts = [float(each) for each in range(first, first + step * _NEXT, step) if each >= 1]
    ratios = changed_estimates(claim, deployment, [(members, each) for each in counts])
    return next((each for each, ratio in zip(counts, ratios, strict=True) if claim.holds(value * float(ratio))), None)


def _reach(quantity: Quantity) -> tuple[float, float]:
    """The largest and the least part of its value that a number may become; a part of something is at most one."""
    is_part = quantity.unit == "" and quantity.value <= 1.0
    return (min(REACH, 1.0 / quantity.value) if is_part else REACH), 1.0 / REACH
