"""Runs of one set-up at several numbers of users: what may not fall as they rise.

More users get no less in all, and each of them no more; a token takes no less time beside others. Servers that thrash,
and labs whose figures differ when they measure again, are why only large falls are named.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from npusim.bounds.reading import LEAST, Reading
from npusim.lab.files.lab_run import LabRun
from npusim.lab.rules.remark import DOUBT, FAULT, Remark

NAME = "sweep"
Found = Iterator[tuple[int, Remark]]
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


_TOKEN = "a token took {second:,.4g} ms with {more} users and {first:,.4g} with {few}"
_ORDERS = (
    _Order("output_tokens_per_s", "{more} users got {second:,.4g} tokens/s in all, {few} got {first:,.4g}", 0.5, 1.0),
    _Order(
        "output_tokens_per_s",
        "each of {more} users got {second:,.4g} tokens/s, each of {few} got {first:,.4g}",
        0.25,
        0.5,
        each=True,
    ),
    *(
        _Order(f"{quantity}_{part}", _TOKEN, 0.25, 0.5)
        for quantity in ("tpot_ms", "itl_ms")
        for part in ("mean", "p50")
    ),
    _Order("power_w_mean", "{more} users drew {second:,.4g} W and {few} drew {first:,.4g}", 0.3, math.inf),
)
"""In published runs all users together lost up to 0.43 (32 users of a server compiled for 16), one user's speed rose by
up to 0.10 (but for one that its own source contradicts, 0.47), and watts fell by up to 0.07."""


def sweep(runs: Sequence[LabRun]) -> Found:
    """What runs that differ in their users alone say of each other."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        if run.setting.users and run.conduct.arrival != "rate":
            groups[_set_up(run)].append(place)
    for places in groups.values():
        pairs = [pair for order in _ORDERS for pair in _out_of_order(runs, places, order)]
        times = Counter(place for few, more, _ in pairs for place in (few, more))
        for few, more, remark in pairs:
            yield from ((place, remark) for place in (few, more) if times[place] >= max(times[few], times[more]))


def _set_up(run: LabRun) -> Hashable:
    """What two runs share; mean output lengths differ a little from run to run."""
    setting, osl = run.setting, run.setting.osl
    length = osl if osl is None or run.conduct.lengths_fixed else float(round(math.log2(osl)))
    return run.tool, replace(setting, users=None, osl=length), run.variant


def _out_of_order(runs: Sequence[LabRun], places: Sequence[int], order: _Order) -> Iterator[tuple[int, int, Remark]]:
    """Each run with the one of fewer users from which its figure fell most, where that is too much."""
    known = sorted((runs[place].setting.users or 0.0, place) for place in places if order.name in runs[place].figures)
    for users, more in known:
        fewer = [place for other, place in known if other < users]
        few = max(fewer, key=lambda place: _fall(runs[place], runs[more], order), default=more)
        part = _fall(runs[few], runs[more], order)
        if few != more and part > 1.0 + order.doubted:
            severity = FAULT if part > 1.0 + order.wrong else DOUBT
            yield few, more, Remark(NAME, severity, _said(runs[few], runs[more], order))


def _fall(few: LabRun, more: LabRun, order: _Order) -> float:
    """How many times the figure fell, or one user's rose."""
    first, second = _figure(few, order), _figure(more, order)
    return second.low / max(first.high, LEAST) if order.each else first.low / max(second.high, LEAST)


def _figure(run: LabRun, order: _Order) -> Reading:
    figure = run.figures[order.name]
    return figure.times(1.0 / (run.setting.users or 1.0)) if order.each else figure


def _said(few: LabRun, more: LabRun, order: _Order) -> str:
    first, second = _figure(few, order).value, _figure(more, order).value
    return order.says.format(few=f"{few.setting.users:g}", more=f"{more.setting.users:g}", first=first, second=second)
