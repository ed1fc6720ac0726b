"""What is said of a row and of each of its figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from npusim.bounds.finding import IMPLAUSIBLE, UNCHECKED, VERDICTS
from npusim.bounds.reading import Reading
from npusim.conditions.known import Known
from npusim.lab.files.lab_run import Conduct, RunConditions
from npusim.lab.rules.remark import FAULT, Remark
from npusim.metric_names import metric as metric_of


@dataclass(frozen=True)
class CheckedFigure:
    """A measured figure with its verdict.

    predicted, low, high: the prediction and its 99 % interval, None without one. bound: the bound that it breaks, or
    that leaves it least room; limit: value that it cannot pass.
    """

    metric: str
    measured: Reading
    verdict: str
    reason: str
    bound: str | None = None
    limit: float | None = None
    predicted: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def seen(self) -> float | None:
        """The smallest factor by which it could be too good and would be found: from the prediction to the end of its
        interval, else from the figure to its limit; None without either, and of watts."""
        row = metric_of(self.metric)
        if row is None or row.unit == "W" or not row.better or self.measured.value <= 0.0:
            return None
        more = row.better == "more"
        end, start = (
            (self.high if more else self.low, self.predicted) if self.predicted else (self.limit, self.measured.value)
        )
        if not end or not start:
            return None
        return end / start if more else start / end

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "measured": self.measured.value,
            "measured_low": self.measured.low,
            "measured_high": self.measured.high,
            "predicted": self.predicted,
            "predicted_low": self.low,
            "predicted_high": self.high,
            "verdict": self.verdict,
            "bound": self.bound,
            "limit": self.limit,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class CheckedRow:
    """A row of what was handed in. whole: what is said of the row itself, apart from any figure.

    known: the conditions that were told, were open, and decide.
    """

    location: str
    tool: str
    setting: RunConditions
    conduct: Conduct
    figures: tuple[CheckedFigure, ...]
    whole: tuple[CheckedFigure, ...]
    remarks: tuple[Remark, ...]
    known: Known = field(default_factory=Known)

    @property
    def decisive(self) -> CheckedFigure | None:
        """The figure, or the saying about the row, from which its verdict comes; None without any."""
        faults = [_of_fault(remark) for remark in self.remarks if remark.severity == FAULT]
        return gravest_figure([*self.whole, *self.figures, *faults])

    @property
    def verdict(self) -> str:
        return UNCHECKED if self.decisive is None else self.decisive.verdict

    @property
    def seen(self) -> float | None:
        """The smallest factor by which its speed could be above the truth and would be found, by the figure that sees
        most; None where nothing limits it."""
        return min(filter(None, (each.seen for each in self.figures)), default=None)

    def as_dict(self, index: int) -> dict[str, Any]:
        decisive = self.decisive
        return {
            "row": index,
            "place": self.location,
            "tool": self.tool,
            "setting": self.setting.values(),
            "verdict": self.verdict,
            "metric": decisive.metric if decisive else None,
            "bound": decisive.bound if decisive else None,
            "limit": decisive.limit if decisive else None,
            "reason": decisive.reason if decisive else "the row holds no figure that is known",
            "smallest_inflation_seen": self.seen,
            "conditions": self.known.as_dict(),
            "figures": [figure.as_dict() for figure in self.figures],
            "remarks": [vars(remark) for remark in self.remarks],
        }


def gravest_figure(figures: Iterable[CheckedFigure]) -> CheckedFigure | None:
    """The first with the gravest verdict; one that lies outside its prediction and cannot be judged hides behind none
    that is plausible."""
    return min(figures, key=_gravity, default=None)


def _gravity(figure: CheckedFigure) -> float:
    undecided = figure.verdict == UNCHECKED and figure.predicted is not None
    return VERDICTS.index(IMPLAUSIBLE) + 0.5 if undecided else VERDICTS.index(figure.verdict)


def _of_fault(remark: Remark) -> CheckedFigure:
    return CheckedFigure("", Reading.exact(0.0), IMPLAUSIBLE, remark.message, remark.rule)
