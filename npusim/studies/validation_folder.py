"""The validation folder: blind, calibrated and left-out errors side by side, and a report of each with its charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from npusim.hardware.catalog import calibration_of
from npusim.hardware.residuals import LeftOut
from npusim.studies.measured.regime import residual_key
from npusim.studies.validate import ErrorSummary, Prediction, ValidationResult, summarise
from npusim.studies.validation_report import markdown_table, percent, title, write_report

_ALL = "all"
_FORMS_SEEN = "h200"
_HEADINGS = (
    "metric", "regime", "figures", "u_D", "blind MAPE", "bias", "coverage", "width", "calibrated MAPE", "bias",
    "coverage", "width", "left-out MAPE", "90 % bounds", "coverage", "90 % bounds",
)  # fmt: skip
_INTRODUCTION = """# How good predictions are

Made by `{command}`; do not edit.

Errors are predicted / measured - 1; MAPE is their mean size, bias their mean. u_D is the median relative standard
uncertainty of the measurements themselves. Coverage is the part of the measured values in the 90 % interval of their
prediction, width the median (high - low) / predicted.

- **Blind**: datasheet, published and assumed numbers with their ranges; none was fitted to these tables. Its intervals
  come from the ranges alone and do not hold the model's own error.
- **Calibrated**: numbers fitted to measured tables, as the overlay that the architecture names says; where a table here
  is one of those, its errors are of rows that the fit has seen. Its intervals come from the posterior, widened by the
  errors of groups left out.
- **Left out**: errors of each group of runs (model x format, or lab x SDK x model x cards) under a fit to the other
  groups, made when the overlay was; bounds by a bootstrap over whole groups. Coverage there is that of half-widths from
  the other groups. This is what to expect of unseen runs; "-" where the overlay was not fitted to that kind of table,
  or where there is a single group.
"""
_FORMS = """- The forms of the H200's kernels were chosen after looking at its operator table: for the H200, blind means
  blind numbers, not a blind form.
"""


@dataclass(frozen=True)
class Comparison:
    """One table, predicted blind and under the calibration; calibrated is None where the architecture has none."""

    blind: ValidationResult
    calibrated: ValidationResult | None

    @property
    def best(self) -> ValidationResult:
        """The calibrated result, or the blind one where there is none."""
        return self.calibrated or self.blind


def write_folder(comparisons: Sequence[Comparison], folder: Path, command: str) -> list[Path]:
    """Write `README.md`, `report.md` with charts, and the same of the blind predictions under `blind/`.

    command: how the folder is made again. Returns the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = write_report([each.best for each in comparisons], folder)
    blind = [each.blind for each in comparisons if each.calibrated is not None]
    if blind:
        files += write_report(blind, folder / "blind")
    page = folder / "README.md"
    page.write_text("\n".join(_page(comparisons, command)) + "\n", encoding="utf-8")
    return [page, *files]


def _page(comparisons: Sequence[Comparison], command: str) -> Iterator[str]:
    archs = {arch for each in comparisons for arch in each.best.archs}
    yield _INTRODUCTION.format(command=command) + (_FORMS if _FORMS_SEEN in archs else "")
    linked = "[blind/report.md](blind/report.md)" if any(each.calibrated for each in comparisons) else ""
    yield f"Errors by dimension, worst rows and charts: [report.md](report.md){f', {linked}' if linked else ''}."
    yield from _calibrations(sorted(archs))
    for each in comparisons:
        yield ""
        yield f"## {title(each.best)}"
        yield ""
        yield f"{each.best.rows:,} rows scored, {len(each.best.skipped):,} skipped."
        if each.best.predictions:
            yield ""
            yield from markdown_table(_HEADINGS, _rows(each))


def _calibrations(archs: Iterable[str]) -> Iterator[str]:
    for arch in archs:
        overlay = calibration_of(arch)
        if overlay is not None:
            yield ""
            yield f"{overlay.arch}: {overlay.name}, {overlay.date}, {overlay.source}."


def _rows(each: Comparison) -> Iterator[list[str]]:
    blind = _by_metric_and_regime(each.blind.predictions)
    calibrated = _by_metric_and_regime(each.calibrated.predictions) if each.calibrated else {}
    left_out = _left_out(each)
    for metric, regimes in blind.items():
        names = [_ALL, *regimes] if len(regimes) > 1 else list(regimes)
        for name in names:
            held = [left_out[metric, regime] for regime in _members(name, regimes) if (metric, regime) in left_out]
            found, under = (_members_of(parts.get(metric, {}), name) for parts in (blind, calibrated))
            yield _row(metric, name, summarise(found), summarise(under), held)


def _by_metric_and_regime(predictions: Iterable[Prediction]) -> dict[str, dict[str, list[Prediction]]]:
    found: dict[str, dict[str, list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for item in predictions:
        found[item.case.metric][residual_key(item.case)[1]].append(item)
    return found


def _members(name: str, regimes: Iterable[str]) -> list[str]:
    return list(regimes) if name == _ALL else [name]


def _members_of(parts: dict[str, list[Prediction]], name: str) -> list[Prediction]:
    return [item for regime in _members(name, parts) for item in parts.get(regime, [])]


def _left_out(each: Comparison) -> dict[tuple[str, str], LeftOut]:
    overlays = [calibration_of(arch) for arch in each.calibrated.archs] if each.calibrated else []
    return {
        (part.metric, part.regime): part
        for overlay in overlays
        if overlay is not None
        for part in overlay.left_out
        if part.table == each.blind.kind
    }


def _row(
    metric: str, regime: str, blind: ErrorSummary, calibrated: ErrorSummary, left_out: Sequence[LeftOut]
) -> list[str]:
    return [
        metric,
        regime,
        f"{blind.rows:,}",
        percent(blind.u_d),
        *_errors(blind),
        *_errors(calibrated),
        *_left_out_text(left_out),
    ]


def _errors(errors: ErrorSummary) -> list[str]:
    return [
        percent(errors.mape),
        percent(errors.bias, signed=True),
        percent(errors.coverage90),
        percent(errors.width90),
    ]


def _left_out_text(parts: Sequence[LeftOut]) -> list[str]:
    """MAPE and coverage with their bounds; of several regimes the means over all figures, without bounds."""
    if not parts:
        return ["-"] * 4
    if len(parts) == 1:
        part = parts[0]
        mape_bounds = _bounds(part.mape_low, part.mape_high)
        return [percent(part.mape), mape_bounds, percent(part.coverage), _bounds(part.coverage_low, part.coverage_high)]
    mape = sum(part.mape * part.figures for part in parts) / sum(part.figures for part in parts)
    known = [(part.coverage, part.figures) for part in parts if part.coverage is not None]
    if not known:
        return [percent(mape), "-", "-", "-"]
    coverage = sum(share * figures for share, figures in known) / sum(figures for _, figures in known)
    return [percent(mape), "-", percent(coverage), "-"]


def _bounds(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{percent(low)} to {percent(high)}"
