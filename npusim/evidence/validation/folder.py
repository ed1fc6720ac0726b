"""The validation folder: blind, calibrated and cross-validated errors, and a report of each with its charts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npusim.evidence.measured.component import calibration_for, is_component
from npusim.evidence.measured.regime import residual_key
from npusim.evidence.validation.report import markdown_table, paragraph, percent, scored_text, title, write_report
from npusim.evidence.validation.validate import ErrorSummary, Prediction, ValidationResult, summarise
from npusim.hardware.catalog import load_system
from npusim.hardware.residuals import LeftOut
from npusim.publish import MANIFEST, publish_folder
from npusim.words import Say

_ALL = "all"
_HEADINGS = (
    "metric", "regime", "figures", "u_D", "blind MAPE", "bias", "coverage", "width", "calibrated MAPE", "bias",
    "coverage", "width",
)  # fmt: skip
_LEFT_OUT_HEADINGS = (
    "metric", "regime", "held out", "of", "figures", "MAPE", "90 % bounds", "coverage", "90 % bounds", "width",
    "90 % bounds",
)  # fmt: skip
_INTRODUCTION = (
    """\
Errors are predicted / measured - 1; MAPE is their mean size, bias their mean. u_D is the median relative standard
uncertainty of the measurements themselves. Coverage is the part of the measured values in the 90 % interval of their
prediction, width the median (high - low) / predicted.

""",
    """\
- **Blind**: datasheet, published and assumed numbers with their ranges; none was fitted to these tables. Its intervals
  come from the ranges alone and do not hold the model's own error.
""",
    """\
- **Calibrated**: numbers fitted to measured tables, as the architecture's calibration says; where a table here is one
  of those, its errors are of rows that the fit has seen. Its intervals come from the posterior and from the
  cross-validated errors beyond it; on rows that were seen they are wide.
""",
    """\
- **Cross-validated**: errors under fits without the runs on which they are judged, made with the calibration. Held out
  together is a **group** of runs (model x format; lab x SDK x model x cards; range of shapes of a card's kernels), or
  all that was measured of a **model**. Intervals there come from the posterior of that fit and from what it does not
  explain of other groups; where there are fewer than nine, a prior of 5 % counts as one more. Bounds are of a bootstrap
  over whole groups. This is what to expect of unseen runs.
""",
)


@dataclass(frozen=True)
class BlindAndCalibrated:
    """One table, predicted blind and under the calibration; calibrated is None where the architecture has none."""

    blind: ValidationResult
    calibrated: ValidationResult | None

    @property
    def best(self) -> ValidationResult:
        """The calibrated result, or the blind one where there is none."""
        return self.calibrated or self.blind


def write_folder(
    comparisons: Sequence[BlindAndCalibrated], folder: Path, command: str, manifest: Mapping[str, Any], say: Say
) -> list[Path]:
    """Write `README.md`, `report.md` with charts, the same of the blind predictions under `blind/`, and the manifest.

    command: how the folder is made again. Returns the files. Raises UserError where they cannot be written.
    """

    def write(draft: Path) -> list[str]:
        names = write_report([each.best for each in comparisons], draft, say)
        blind = [each.blind for each in comparisons if each.calibrated is not None]
        if blind:
            names += [f"blind/{name}" for name in write_report(blind, draft / "blind", say)]
        (draft / "README.md").write_text("\n".join(_page(comparisons, command, say)) + "\n", encoding="utf-8")
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        (draft / MANIFEST).write_text(text + "\n", encoding="utf-8")
        return ["README.md", *names, MANIFEST]

    return [folder / name for name in publish_folder(write, folder, "--report")]


def _page(comparisons: Sequence[BlindAndCalibrated], command: str, say: Say) -> Iterator[str]:
    archs = {arch for each in comparisons for arch in each.best.archs}
    yield f"# {say('How good predictions are')}\n"
    yield f"{say('Made by `{command}`; do not edit.', command=command)}\n"
    yield "".join(_whole(each, say) for each in _INTRODUCTION)
    linked = ", [blind/report.md](blind/report.md)" if any(each.calibrated for each in comparisons) else ""
    yield f"{say('Errors by dimension, worst rows and charts')}: [report.md](report.md){linked}."
    yield say("Where the charts are missing, the command above draws them.")
    yield from _descriptions(sorted(archs), say)
    for each in comparisons:
        yield ""
        yield f"## {title(each.best).in_words_of(say)}"
        yield ""
        yield scored_text(each.best).in_words_of(say)
        if each.best.predictions:
            yield ""
            yield from markdown_table([say(name) for name in _HEADINGS], _rows(each, say))
        left_out = [_left_out_row(part, say) for part in _left_out(each)]
        if left_out:
            yield ""
            yield from markdown_table([say(name) for name in _LEFT_OUT_HEADINGS], left_out)


def _whole(text: str, say: Say) -> str:
    """A paragraph or an item of a list with the line ends behind it."""
    told = text.rstrip("\n")
    return f"{paragraph(told, say)}{text[len(told) :]}"


def _descriptions(archs: Iterable[str], say: Say) -> Iterator[str]:
    """The note in the file of each architecture, and what its calibration was fitted to; not of components."""
    for arch in archs:
        if is_component(arch):
            continue
        calibration = calibration_for(arch)
        fitted = say("none; blind is all there is")
        if calibration is not None:
            fitted = f"{calibration.name}, {calibration.date}, {say(calibration.source)}"
        yield ""
        yield f"**{arch}**: {say(load_system(arch).note.strip())} {say('Calibration')}: {fitted}."


def _rows(each: BlindAndCalibrated, say: Say) -> Iterator[list[str]]:
    blind = _by_metric_and_regime(each.blind.predictions)
    calibrated = _by_metric_and_regime(each.calibrated.predictions) if each.calibrated else {}
    for metric, regimes in blind.items():
        names = [_ALL, *regimes] if len(regimes) > 1 else list(regimes)
        for name in names:
            found, under = (_members_of(parts.get(metric, {}), name) for parts in (blind, calibrated))
            yield _row(metric, say(name), summarise(found), summarise(under))


def _by_metric_and_regime(predictions: Iterable[Prediction]) -> dict[str, dict[str, list[Prediction]]]:
    found: dict[str, dict[str, list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for item in predictions:
        found[item.case.metric][residual_key(item.case)[1]].append(item)
    return found


def _members_of(parts: dict[str, list[Prediction]], name: str) -> list[Prediction]:
    return [item for regime, items in parts.items() if name in (_ALL, regime) for item in items]


def _left_out(each: BlindAndCalibrated) -> list[LeftOut]:
    """What the calibrations say of the kind of table, those of one metric and regime after each other."""
    calibrations = [calibration_for(arch) for arch in each.calibrated.archs] if each.calibrated else []
    parts = [part for calibration in calibrations if calibration is not None for part in calibration.left_out]
    return sorted(
        (part for part in parts if part.table == each.blind.kind), key=lambda part: (part.metric, part.regime)
    )


def _row(metric: str, regime: str, blind: ErrorSummary, calibrated: ErrorSummary) -> list[str]:
    return [metric, regime, f"{blind.rows:,}", percent(blind.u_d), *_errors(blind), *_errors(calibrated)]


def _errors(errors: ErrorSummary) -> list[str]:
    return [
        percent(errors.mape),
        percent(errors.bias, signed=True),
        percent(errors.coverage90),
        percent(errors.width90),
    ]


def _left_out_row(part: LeftOut, say: Say) -> list[str]:
    return [
        part.metric,
        say(part.regime),
        say(part.unseen),
        f"{part.groups:,}",
        f"{part.figures:,}",
        percent(part.mape),
        _bounds(part.mape_low, part.mape_high, say),
        percent(part.coverage),
        _bounds(part.coverage_low, part.coverage_high, say),
        percent(part.width),
        _bounds(part.width_low, part.width_high, say),
    ]


def _bounds(low: float | None, high: float | None, say: Say) -> str:
    if low is None or high is None:
        return "-"
    return say("{low} to {high}", low=percent(low), high=percent(high))
