"""Runs of one set-up at several numbers of users: what may not fall as they rise.

More users get no less in all, and each of them no more; a token takes no less time beside others. Servers that thrash,
and labs whose figures differ when they measure again, are why only large falls are named.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npusim.bounds.reading import LEAST, Reading
from npusim.lab.files.lab_run import RATE, LabRun
from npusim.lab.rules.remark import DOUBT, FAULT, Remark

NAME = "sweep"
SweptRuns = Iterator[tuple[int, Remark]]
"""Remarks by the place of their run."""


@dataclass(frozen=True)
class _Order:
    """What may not fall as users rise. name: of the figure; says: in words; each: of one user, which may not rise.

    doubted, wrong: parts by which it changes at least before it is remarked on, and makes rows contradict each other.
    """

    name: str
    says: str
    doubted: float
    wrong: float
    each: bool = False


_MIDDLES = ("mean", "p50")
_TOKEN = "a token took {second:,.4g} ms with {more} users and {first:,.4g} with {few}"
_RATE = "output_tokens_per_s"
_TOTAL = _Order(_RATE, "{more} users got {second:,.4g} tokens/s in all, {few} got {first:,.4g}", 0.5, 1.0)
_OWN = "each of {more} users got {second:,.4g} tokens/s, each of {few} got {first:,.4g}"
_EACH = _Order(_RATE, _OWN, 0.25, 0.5, each=True)
_TOKENS = (_Order(f"{part}_{statistic}", _TOKEN, 0.25, 0.5) for part in ("tpot_ms", "itl_ms") for statistic in _MIDDLES)
_WATTS = _Order("power_w_mean", "{more} users drew {second:,.4g} W and {few} drew {first:,.4g}", 0.3, math.inf)
_ORDERS = (_TOTAL, _EACH, *_TOKENS, _WATTS)
"""In published runs all users together lost up to 0.43 (32 users of a server compiled for 16), one user's speed rose by
up to 0.10 (but for one that its own source contradicts, 0.47), and watts fell by up to 0.07."""


def out_of_order(runs: Sequence[LabRun]) -> SweptRuns:
    """What runs that differ in their users alone say of each other."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        if run.setting.users and run.conduct.arrival != RATE:
            groups[_set_up(run)].append(place)
    for places in groups.values():
        found = [each for order in _ORDERS for each in _out_of_order(runs, places, order)]
        times = Counter(place for pair in found for place in pair.places)
        for pair in found:
            for own, other in (pair.places, pair.places[::-1]):
                if times[own] == times[other]:
                    yield own, replace(pair.remark, severity=DOUBT)
                elif times[own] > times[other]:
                    yield own, pair.remark


def _set_up(run: LabRun) -> Hashable:
    """What two runs share; mean output lengths differ a little from run to run."""
    setting, osl = run.setting, run.setting.osl
    length = osl if osl is None or run.conduct.lengths_fixed else float(round(math.log2(osl)))
    return run.tool, replace(setting, users=None, osl=length), run.variant


@dataclass(frozen=True)
class _Pair:
    """places: of a run of fewer users and one of more, out of order. Of two, the one in more pairs is the wrong one."""

    places: tuple[int, int]
    remark: Remark


def _out_of_order(runs: Sequence[LabRun], places: Sequence[int], order: _Order) -> Iterator[_Pair]:
    """Every run with each of fewer users, as far as a few odd ones, from which its figure falls too much."""
    known = sorted((runs[place].setting.users or 0.0, place) for place in places if order.name in runs[place].figures)
    own = np.array([users for users, _ in known])
    ends = np.array([[figure.low, figure.high] for _, place in known if (figure := _figure(runs[place], order))])
    for at, (users, more) in enumerate(known):
        fewer = int(np.searchsorted(own, users))
        if fewer == 0:
            continue
        low, high = ends[:fewer].T
        parts = ends[at, 0] / np.maximum(high, LEAST) if order.each else low / max(ends[at, 1], LEAST)
        for worst in np.argsort(-parts, kind="stable")[:_MOST_PAIRS].tolist():
            if parts[worst] > 1.0 + order.doubted:
                few, wrong = known[worst][1], parts[worst] > 1.0 + order.wrong
                remark = Remark(NAME, FAULT if wrong else DOUBT, _said(runs[few], runs[more], order))
                yield _Pair((few, more), remark)


_MOST_PAIRS = 8
"""Runs of fewer users that one is held against."""


def _figure(run: LabRun, order: _Order) -> Reading:
    figure = run.figures[order.name]
    return figure.times(1.0 / (run.setting.users or 1.0)) if order.each else figure


def _said(few: LabRun, more: LabRun, order: _Order) -> str:
    first, second = _figure(few, order).value, _figure(more, order).value
    return order.says.format(few=f"{few.setting.users:g}", more=f"{more.setting.users:g}", first=first, second=second)
