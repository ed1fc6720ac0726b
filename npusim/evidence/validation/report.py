"""A folder that shows how good predictions are: one Markdown page, and two charts for each measured table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npusim.evidence.measured.kinds import table_kinds
from npusim.evidence.validation.validate import ErrorSummary, Prediction, ValidationResult, summarise
from npusim.kperf.charts import in_print, save
from npusim.words import Phrase, Say

_USERS = "concurrency"
"""The dimension that says how large the work of a serving run is."""
_BAND = 0.1
_DPI = 110
_SIZE_INCHES = (11.0, 4.6)
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
ERROR_HEADINGS = ("rows", "MAPE", "bias", "p90", "max", "u_D", "coverage", "width")


_INTRODUCTION = """\
Errors are predicted / measured - 1: mean absolute (MAPE), mean signed (bias), 90th percentile and largest
absolute. u_D is the median of the measurements' own relative standard uncertainty; coverage the part of the
measured values in the 90 % interval of their prediction, width the median (high - low) / predicted."""


def write_report(results: Sequence[ValidationResult], folder: Path, say: Say) -> list[str]:
    """Write `report.md` and a PNG for each table of which rows were scored; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    page = [f"# {say('Predictions against measurements')}", "", paragraph(_INTRODUCTION, say)]
    for result in results:
        page += ["", *_section(result, say)]
        if result.main:
            files.append(f"{slug(result)}.png")
            with in_print(say) as spoken:
                _draw(result, folder / files[-1], spoken)
            told = say("{what} of {table}", what=result.main_metric, table=title(result).in_words_of(say))
            page += ["", f"![{told}]({files[-1]})"]
    (folder / "report.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    return ["report.md", *files]


def slug(result: ValidationResult) -> str:
    """A file name for the table, different from one of the same name on another architecture."""
    stem = result.path.stem
    arch = Path(result.archs[0]).stem.partition(":")[0] if result.archs else ""
    return stem if not arch or stem.startswith(arch) else f"{arch}-{stem}"


def paragraph(text: str, say: Say) -> str:
    """A paragraph in the language that `say` speaks, in English with its line ends."""
    flat = " ".join(text.split())
    told = say(flat)
    return text if told == flat else told


def title(result: ValidationResult) -> Phrase:
    """The table and what it was predicted on."""
    told = {"file": result.path.name, "kind": Phrase(result.kind.replace("_", " "))}
    if not result.archs:
        return Phrase("{file} ({kind})", told)
    return Phrase("{file} ({kind}) on {archs}", told | {"archs": ", ".join(Path(arch).name for arch in result.archs)})


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


def scored_text(result: ValidationResult) -> Phrase:
    """How many rows were scored."""
    told = {"n_rows": f"{result.rows:,}", "n_skipped": f"{len(result.skipped):,}"}
    return Phrase("{n_rows} rows scored, {n_skipped} skipped.", told)


def _section(result: ValidationResult, say: Say) -> list[str]:
    lines = [
        f"## {title(result).in_words_of(say)}",
        "",
        f"{scored_text(result).in_words_of(say)} {say(calibration(result))}.",
    ]

    def add(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        lines.extend(["", *markdown_table([say(each) for each in headings], rows)])

    if result.main:
        add(("main metric", *ERROR_HEADINGS), [[result.main_metric, *figures_text(summarise(result.main))]])
    for name, values in telling(result):
        add((name, *ERROR_HEADINGS), [[say(value), *figures_text(errors)] for value, errors in values.items()])
    if result.main:
        add(("worst rows", "measured", "predicted", "error"), [_worst_row(item, say) for item in result.worst()])
    if result.skipped:
        add(("skipped", "reason"), [[str(count), say(reason)] for reason, count in result.reasons()])
    return lines


def _worst_row(item: Prediction, say: Say) -> list[str]:
    where = ", ".join(f"{say(name)} {say(value)}" for name, value in item.case.dimensions.items())
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


def _draw(result: ValidationResult, path: Path, say: Say) -> None:
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
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
            "label": say(value),
        }
        measured = np.array([item.case.measured for item in items])
        left.scatter(measured, [item.predicted for item in items], **style)
        right.scatter(_size(result, items), [100.0 * item.error for item in items], **style)
    _finish(left, right, result, say)
    figure.suptitle(title(result).in_words_of(say))
    if len(groups) > 1:
        figure.legend(*left.get_legend_handles_labels(), title=say(colour_by), loc="outside right center", fontsize=8)
    save(figure, path)


def _size(result: ValidationResult, items: Sequence[Prediction]) -> np.ndarray:
    """What says how large a row's work is: its users, else its measured time; not a number where requests came at a
    rate, and nobody knows how many were there."""
    if table_kinds()[result.kind].runs:
        return np.array([float(item.case.dimensions.get(_USERS, math.nan)) for item in items])
    return np.array([item.case.measured for item in items])


def _finish(left: Axes, right: Axes, result: ValidationResult, say: Say) -> None:
    values = [value for item in result.main for value in (item.case.measured, item.predicted)]
    span = np.array([min(values), max(values)])
    left.plot(span, span, color="#000000", linewidth=0.8)
    left.fill_between(span, span * (1.0 - _BAND), span * (1.0 + _BAND), color="#000000", alpha=0.08, linewidth=0)
    left.set(
        xscale="log",
        yscale="log",
        xlabel=_measured(result, say),
        ylabel=say("predicted {what}", what=result.main_metric),
        title=say("band: within {part}", part=percent(_BAND)),
    )
    right.axhline(0.0, color="#000000", linewidth=0.8)
    right.axhspan(-100.0 * _BAND, 100.0 * _BAND, color="#000000", alpha=0.08, linewidth=0)
    size = say(_USERS) if table_kinds()[result.kind].runs else _measured(result, say)
    known = np.isfinite(_size(result, result.main)).any()
    names = {"xlabel": size, "ylabel": say("error [%]"), "title": say("predicted / measured - 1")}
    right.set(xscale="log" if known else "linear", **names)


def _measured(result: ValidationResult, say: Say) -> str:
    return say("measured {what}", what=result.main_metric)
