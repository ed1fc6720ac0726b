"""How far predictions are from a measured table, row by row and in sum.

Errors are predicted / measured - 1, as fractions. Beside each is u_D, the measurement's own relative standard
uncertainty, and u_val, which joins it with the uncertainty of the prediction's inputs (ASME V&V 20-2009, section 2);
without intervals the latter is not known, and u_val is None. Coverage is the part of the measured values that lie in
the 90 % interval of their prediction.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from npusim.answers.predict import ANALYTIC, EVENT
from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers, Predictor, Skip
from npusim.evidence.measured.component import calibration_for
from npusim.evidence.measured.component import numbers_of as described
from npusim.evidence.measured.importer import import_table
from npusim.evidence.predictors.simulated import simulated_cases
from npusim.evidence.validation.conditions import table_conditions
from npusim.evidence.validation.prediction_ranges import PredictionRange, ranges

WORST = 5
_P90 = 90.0


@dataclass(frozen=True)
class Prediction:
    """A case and what was predicted for it, in the unit of its measured value."""

    case: Case
    predicted: float
    range: PredictionRange | None = None

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted / self.case.measured - 1.0

    @property
    def u_val(self) -> float | None:
        """u_D and u_input together."""
        return None if self.range is None else math.hypot(self.case.sigma, self.range.u_input)

    @property
    def covered(self) -> bool | None:
        """Whether the measured value lies in the interval."""
        return None if self.range is None else self.range.low <= self.case.measured <= self.range.high

    def as_dict(self) -> dict[str, Any]:
        case, known = self.case, self.range
        return {
            "row": case.row,
            "metric": case.metric,
            "measured": case.measured,
            "predicted": self.predicted,
            "error": self.error,
            "low": None if known is None else known.low,
            "high": None if known is None else known.high,
            "u_d": case.sigma,
            "u_input": None if known is None else known.u_input,
            "u_val": self.u_val,
            "group": case.group,
            "dimensions": dict(case.dimensions),
        }


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of some predictions: mean absolute, mean signed, 90th percentile and largest absolute; median u_D.

    coverage90: part of the measured values in their 90 % intervals; width90: median (high - low) / predicted; u_input,
    u_val: medians. None without intervals.
    """

    rows: int
    mape: float
    bias: float
    p90: float
    max: float
    u_d: float
    coverage90: float | None = None
    width90: float | None = None
    u_input: float | None = None
    u_val: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ValidationResult:
    """The predictions of a table.

    archs: architectures that they were made on; calibrated: True where one of them was under its calibration;
    main_metric: of the top-level errors.
    """

    path: Path
    kind: str
    archs: tuple[str, ...]
    calibrated: bool
    main_metric: str
    predictions: tuple[Prediction, ...]
    skipped: tuple[Skip, ...]

    @property
    def main(self) -> list[Prediction]:
        """The predictions of the main metric."""
        return [item for item in self.predictions if item.case.main]

    @property
    def rows(self) -> int:
        """Rows of the table of which at least one figure was scored."""
        return len({item.case.row for item in self.predictions})

    @property
    def conditions(self) -> dict[str, dict[str, list[Any]]]:
        """What was told and what was assumed, by condition the values of all rows."""
        return table_conditions(item.case for item in self.predictions)

    def worst(self, count: int = WORST) -> list[Prediction]:
        """The predictions of the main metric that are farthest off, the farthest first."""
        return sorted(self.main, key=lambda item: -abs(item.error))[:count]

    def reasons(self) -> list[tuple[str, int]]:
        """Why rows were skipped, and how many for each reason, the most frequent first."""
        return Counter(skip.reason for skip in self.skipped).most_common()

    def by(self) -> dict[str, dict[str, ErrorSummary]]:
        """Summaries by metric, and of the main metric by each dimension and its values."""
        found = {"metric": _grouped(self.predictions, lambda case: case.metric)}
        main = self.main
        names = dict.fromkeys(name for item in main for name in item.case.dimensions)
        for name in names:
            having = [item for item in main if name in item.case.dimensions]
            found[name] = _grouped(having, lambda case, name=name: case.dimensions[name])  # type: ignore[misc]
        return found

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the contract, beside the worst rows and every prediction."""
        return {
            **summarise(self.main).as_dict(),
            "rows": self.rows,
            "skipped": [{"row": skip.row, "reason": skip.reason} for skip in self.skipped],
            "skip_reasons": dict(self.reasons()),
            "table": self.path.name,
            "kind": self.kind,
            "archs": list(self.archs),
            "calibrated": self.calibrated,
            "main_metric": self.main_metric,
            "conditions": self.conditions,
            "by": {
                name: {value: errors.as_dict() for value, errors in values.items()}
                for name, values in self.by().items()
            },
            "worst": [item.as_dict() for item in self.worst()],
            "predictions": [item.as_dict() for item in self.predictions],
        }


def validate_table(
    path: Path,
    arch: str | None = None,
    uncalibrated: bool = False,
    seed: int = 0,
    intervals: bool = False,
    engine: str = ANALYTIC,
) -> ValidationResult:
    """Predict every row of a measured table blind and compare.

    arch: default the table's own; uncalibrated: leave the architectures' calibrations out; intervals: give
    every prediction its 90 % interval, tens of times slower; engine: analytic, or event, which simulates kernels of
    contraction processors only. Raises UserError.
    """
    imported = import_table(path, arch)
    cases = simulated_cases(imported.cases) if engine == EVENT else imported.cases
    predictions, refused = predict_cases(cases, seed, lambda name: described(name, uncalibrated))
    if intervals:
        found = ranges([(item.case, item.predicted) for item in predictions], seed, uncalibrated)
        predictions = [replace(item, range=known) for item, known in zip(predictions, found, strict=True)]
    skipped = sorted((*imported.skips, *refused), key=lambda skip: skip.row)
    archs = tuple(dict.fromkeys(item.case.predictor.arch for item in predictions))
    return ValidationResult(
        path=path,
        kind=imported.table.kind,
        archs=archs,
        calibrated=not uncalibrated and any(calibration_for(name) is not None for name in archs),
        main_metric=imported.main_metric,
        predictions=tuple(predictions),
        skipped=tuple(skipped),
    )


def predict_cases(
    cases: Iterable[Case], seed: int, numbers_of: Callable[[str], Numbers] | None = None
) -> tuple[list[Prediction], list[Skip]]:
    """Predict cases, each predictor once; a row that cannot run after all becomes a Skip.

    numbers_of: the numbers of an architecture by its name, default those of its description under its calibration.
    """
    numbers: dict[str, Numbers] = {}
    figures: dict[Predictor, dict[str, float] | str] = {}
    predictions, refused = [], defaultdict(set)
    for case in cases:
        predictor = case.predictor
        if predictor.arch not in numbers:
            numbers[predictor.arch] = (numbers_of or described)(predictor.arch)
        if predictor not in figures:
            figures[predictor] = _figures(predictor, numbers[predictor.arch], seed)
        known = figures[predictor]
        if isinstance(known, str):
            refused[case.row].add(known)
        elif math.isfinite(known[case.figure]):
            predictions.append(Prediction(case, known[case.figure]))
        else:
            refused[case.row].add(f"the prediction has no {case.metric}")
    scored = {item.case.row for item in predictions}
    skips = [Skip(row, "; ".join(sorted(reasons))) for row, reasons in refused.items() if row not in scored]
    return predictions, skips


def _figures(predictor: Predictor, numbers: Numbers, seed: int) -> dict[str, float] | str:
    """What the predictor predicts, or why it cannot."""
    try:
        return predictor.predict(numbers, seed)
    except UserError as error:
        return str(error)


def summarise(predictions: Iterable[Prediction]) -> ErrorSummary:
    """The errors of some predictions, NaN where there are none."""
    items = list(predictions)
    if not items:
        return ErrorSummary(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    errors = np.array([item.error for item in items])
    size = np.abs(errors)
    return ErrorSummary(
        rows=len(items),
        mape=float(size.mean()),
        bias=float(errors.mean()),
        p90=float(np.percentile(size, _P90)),
        max=float(size.max()),
        u_d=float(np.median([item.case.sigma for item in items])),
        **_of_intervals(items),
    )


def _of_intervals(predictions: list[Prediction]) -> dict[str, float]:
    """Coverage, width and uncertainties of the predictions that have an interval."""
    ranged = [(item, item.range) for item in predictions if item.range is not None]
    if not ranged:
        return {}
    return {
        "coverage90": float(np.mean([bool(item.covered) for item, _ in ranged])),
        "width90": float(np.median([(known.high - known.low) / item.predicted for item, known in ranged])),
        "u_input": float(np.median([known.u_input for _, known in ranged])),
        "u_val": float(np.median([item.u_val or 0.0 for item, _ in ranged])),
    }


def _grouped(predictions: Iterable[Prediction], key: Callable[[Case], str]) -> dict[str, ErrorSummary]:
    groups: dict[str, list[Prediction]] = defaultdict(list)
    for item in predictions:
        groups[key(item.case)].append(item)
    return {value: summarise(groups[value]) for value in sorted(groups, key=_order)}


def _order(value: str) -> tuple[float, str]:
    """Numbers by size, before words."""
    try:
        return float(value), ""
    except ValueError:
        return math.inf, value
