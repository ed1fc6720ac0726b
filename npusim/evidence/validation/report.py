"""A folder that shows how good predictions are: one Markdown page, and two charts for each measured table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from npusim.evidence.measured.kinds import table_kinds
from npusim.evidence.validation.validate import ErrorSummary, Prediction, ValidationResult, summarise

_USERS = "concurrency"
"""The dimension that says how large the work of a serving run is."""
_BAND = 0.1
_DPI = 110
_SIZE_INCHES = (11.0, 4.6)
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
ERROR_HEADINGS = ("rows", "MAPE", "bias", "p90", "max", "u_D", "coverage", "width")


def write_report(results: Sequence[ValidationResult], folder: Path) -> list[str]:
    """Write `report.md` and a PNG for each table of which rows were scored; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    page = [
        "# Predictions against measurements",
        "",
        "Errors are predicted / measured - 1: mean absolute (MAPE), mean signed (bias), 90th percentile and largest",
        "absolute. u_D is the median of the measurements' own relative standard uncertainty; coverage the part of the",
        "measured values in the 90 % interval of their prediction, width the median (high - low) / predicted.",
    ]
    for result in results:
        page += ["", *_section(result)]
        if result.main:
            files.append(f"{slug(result)}.png")
            _draw(result, folder / files[-1])
            page += ["", f"![{result.main_metric} of {title(result)}]({files[-1]})"]
    (folder / "report.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    return ["report.md", *files]


def slug(result: ValidationResult) -> str:
    """A file name for the table, different from one of the same name on another architecture."""
    stem = result.path.stem
    arch = Path(result.archs[0]).stem.partition(":")[0] if result.archs else ""
    return stem if not arch or stem.startswith(arch) else f"{arch}-{stem}"


def title(result: ValidationResult) -> str:
    """The table and what it was predicted on."""
    where = f" on {', '.join(Path(arch).name for arch in result.archs)}" if result.archs else ""
    return f"{result.path.name} ({result.kind.replace('_', ' ')}){where}"


def calibration(result: ValidationResult) -> str:
    """Whether the numbers were calibrated, in a word."""
    return "Calibrated" if result.calibrated else "Uncalibrated"


def percent(value: float | None, signed: bool = False) -> str:
    """A fraction as a percentage, "-" for None and NaN."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{100.0 * value:{'+' if signed else ''}.1f} %"


def figures_text(errors: ErrorSummary) -> list[str]:
    """The figures of ERROR_HEADINGS as text."""
    return [
        f"{errors.rows:,}",
        percent(errors.mape),
        percent(errors.bias, signed=True),
        percent(errors.p90),
        percent(errors.max),
        percent(errors.u_d),
        percent(errors.coverage90),
        percent(errors.width90),
    ]


def telling(result: ValidationResult) -> Iterator[tuple[str, dict[str, ErrorSummary]]]:
    """The summaries by metric where there are several, and by the telling dimensions that the table has."""
    by = result.by()
    for name in ("metric", *table_kinds()[result.kind].telling):
        if len(by.get(name, {})) > 1:
            yield name, by[name]


def _section(result: ValidationResult) -> list[str]:
    lines = [
        f"## {title(result)}",
        "",
        f"{result.rows:,} rows scored, {len(result.skipped):,} skipped. {calibration(result)}.",
    ]
    if result.main:
        rows = [[result.main_metric, *figures_text(summarise(result.main))]]
        lines += ["", *markdown_table(("main metric", *ERROR_HEADINGS), rows)]
    for name, values in telling(result):
        rows = [[value, *figures_text(errors)] for value, errors in values.items()]
        lines += ["", *markdown_table((name, *ERROR_HEADINGS), rows)]
    if result.main:
        rows = [_worst_row(item) for item in result.worst()]
        lines += ["", *markdown_table(("worst rows", "measured", "predicted", "error"), rows)]
    if result.skipped:
        rows = [[str(count), reason] for reason, count in result.reasons()]
        lines += ["", *markdown_table(("skipped", "reason"), rows)]
    return lines


def _worst_row(item: Prediction) -> list[str]:
    where = ", ".join(f"{name} {value}" for name, value in item.case.dimensions.items())
    return [
        f"{item.case.row}: {where}",
        f"{item.case.measured:,.4g}",
        f"{item.predicted:,.4g}",
        percent(item.error, signed=True),
    ]


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"


def _draw(result: ValidationResult, path: Path) -> None:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    colour_by = table_kinds()[result.kind].telling[0]
    groups: dict[str, list[Prediction]] = {}
    for item in result.main:
        groups.setdefault(item.case.dimensions.get(colour_by, "-"), []).append(item)
    for index, (value, items) in enumerate(sorted(groups.items())):
        style = {
            "color": _COLOURS[index % len(_COLOURS)],
            "marker": _MARKERS[index // len(_COLOURS) % len(_MARKERS)],
            "s": 14,
            "linewidths": 0,
            "label": value,
        }
        measured = np.array([item.case.measured for item in items])
        left.scatter(measured, [item.predicted for item in items], **style)
        right.scatter(_size(result, items), [100.0 * item.error for item in items], **style)
    _finish(left, right, result)
    figure.suptitle(title(result))
    if len(groups) > 1:
        figure.legend(*left.get_legend_handles_labels(), title=colour_by, loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def _size(result: ValidationResult, items: Sequence[Prediction]) -> np.ndarray:
    """What says how large a row's work is: its users, else its measured time; not a number where requests came at a
    rate, and nobody knows how many were there."""
    if table_kinds()[result.kind].runs:
        return np.array([float(item.case.dimensions.get(_USERS, math.nan)) for item in items])
    return np.array([item.case.measured for item in items])


def _finish(left: Axes, right: Axes, result: ValidationResult) -> None:
    values = [value for item in result.main for value in (item.case.measured, item.predicted)]
    span = np.array([min(values), max(values)])
    left.plot(span, span, color="#000000", linewidth=0.8)
    left.fill_between(span, span * (1.0 - _BAND), span * (1.0 + _BAND), color="#000000", alpha=0.08, linewidth=0)
    left.set(
        xscale="log",
        yscale="log",
        xlabel=f"measured {result.main_metric}",
        ylabel=f"predicted {result.main_metric}",
        title=f"band: within {percent(_BAND)}",
    )
    right.axhline(0.0, color="#000000", linewidth=0.8)
    right.axhspan(-100.0 * _BAND, 100.0 * _BAND, color="#000000", alpha=0.08, linewidth=0)
    size = _USERS if table_kinds()[result.kind].runs else f"measured {result.main_metric}"
    known = np.isfinite(_size(result, result.main)).any()
    right.set(xscale="log" if known else "linear", xlabel=size, ylabel="error [%]", title="predicted / measured - 1")
