"""A factor that all rows of a hand-in have in common: what no row shows alone.

Each row's speed over its prediction has an error of its own, which many rows average out, and one that it shares with
the others: of the chip's numbers, of what the calibration left, and of the card. The second bounds what can be seen.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.evidence.measured.sources import sources
from npusim.lab.check.row import CheckedFigure, CheckedRow
from npusim.lab.check.spread import Z, repeat_sd
from npusim.lab.rules.remark import FAULT, NOTE, Remark
from npusim.metric_names import figure_of, metric
from npusim.metrics import PUBLISHED

NAME = "common factor"
FEWEST = 4
"""Rows of one chip from which on their common factor is judged."""
_OF_MEDIAN = math.sqrt(math.pi / 2.0)
"""Standard deviation of a median over that of a mean, of normal values."""
_OF_MAD = 1.4826
"""Standard deviation over the median of absolute deviations, of normal values."""


@dataclass(frozen=True)
class CommonFactor:
    """arch: chip of the rows; rows: their places; factor: measured over predicted speed, in the median; low, high: its
    99 % interval.

    seen: the smallest factor by which all of them could be too fast and would be found.
    """

    arch: str
    rows: tuple[int, ...]
    factor: float
    low: float
    high: float
    seen: float

    @property
    def too_fast(self) -> bool:
        return self.low > 1.0

    @property
    def remark(self) -> Remark:
        told = f"{len(self.rows):,} rows on {self.arch} are together {self.factor:.3g} times as fast as predicted"
        ends = f"{told} ({self.low:.3g} to {self.high:.3g})"
        if self.too_fast:
            return Remark(NAME, FAULT, f"{ends}: a factor that all have in common")
        return Remark(NAME, NOTE, f"{ends}; a factor of {self.seen:.3g} on all of them would be seen")

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "rows": list(self.rows), "too_fast": self.too_fast}


@dataclass(frozen=True)
class _Speed:
    """Logarithm of a row's speed over the predicted one; shared: the standard deviation that it has with other rows."""

    log: float
    shared: float


def common_factors(rows: Sequence[CheckedRow]) -> list[CommonFactor]:
    """The factor of the rows of each chip that have a prediction."""
    known: dict[str, dict[int, _Speed]] = defaultdict(dict)
    for place, row in enumerate(rows):
        speed = min(_speeds(row), key=lambda each: each.shared, default=None)
        if speed is not None and row.setting.device is not None:
            known[row.setting.device][place] = speed
    return [_factor(arch, speeds) for arch, speeds in known.items() if len(speeds) >= FEWEST]


def _factor(arch: str, speeds: Mapping[int, _Speed]) -> CommonFactor:
    """Of those rows, the best known first, that together say most."""
    known = sorted(speeds.items(), key=lambda each: each[1].shared)
    tries = [(*_common([speed for _, speed in known[:count]]), count) for count in range(FEWEST, len(known) + 1)]
    far, middle, count = min(tries)
    factor, low, high = (math.exp(each) for each in (middle, middle - far, middle + far))
    return CommonFactor(arch, tuple(sorted(place for place, _ in known[:count])), factor, low, high, math.exp(far))


def _common(speeds: Sequence[_Speed]) -> tuple[float, float]:
    """99 % half-width of the logarithm of the rows' factor, and that logarithm."""
    logs = np.array([speed.log for speed in speeds])
    middle = float(np.median(logs))
    own = max(repeat_sd(_RATE), _OF_MAD * float(np.median(np.abs(logs - middle))))
    shared = float(np.median([speed.shared for speed in speeds]))
    return Z * math.hypot(shared, _OF_MEDIAN * own / math.sqrt(len(logs))), middle


def _speeds(row: CheckedRow) -> Iterator[_Speed]:
    """The row's speed by its rate, and by one over its time per token."""
    for figure in row.figures:
        named = figure_of(PUBLISHED, figure.metric)
        told = metric(figure.metric if named is None else named[0])
        if told is None or not (figure.predicted and figure.low and figure.high and figure.measured.value > 0.0):
            continue
        if told.name == _RATE or told.inverse_of.startswith(_TOKEN):
            yield _speed(figure, 1.0)
        elif told.quantity == _TOKEN and told.statistic in _MIDDLE:
            yield _speed(figure, -1.0)


_RATE, _TOKEN, _MIDDLE = "output_tokens_per_s", "tpot_ms", ("mean", "p50")


def _speed(figure: CheckedFigure, sign: float) -> _Speed:
    assert figure.predicted and figure.low and figure.high
    log = sign * math.log(figure.measured.value / figure.predicted)
    whole = 0.5 * math.log(figure.high / figure.low) / Z
    card = sources().spreads.another_card.value
    return _Speed(log, math.hypot(math.sqrt(max(0.0, whole**2 - repeat_sd(_RATE) ** 2)), card))
