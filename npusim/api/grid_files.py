"""The files of a predicted grid: workbook, table, charts and manifest, and a page where it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from npusim.api.caveats import caveats
from npusim.kperf.publish import publish
from npusim.kperf.publish_comparison import publish_comparison
from npusim.kperf.table import unique_names
from npusim.report.kperf_page import kperf_page
from npusim.report.page import render
from npusim.words import speaker

if TYPE_CHECKING:
    from npusim.api.answer import Answer
    from npusim.kperf.runner import GridResult


def write_grids(results: Sequence[GridResult], record: Answer, out: Path, language: str, report: bool) -> list[str]:
    """Publishes every result, of several in a folder each, and their comparison; returns their paths from here."""
    chips = unique_names([result.deployments[0].system.name for result in results], r"[^A-Za-z0-9._-]+", 80)
    written = []
    for result, chip in zip(results, chips, strict=True):
        folder = out / chip if len(results) > 1 else out
        context = replace(result.context, say=speaker(language))
        pages = {}
        if report:
            notes = caveats(result.deployments[:1], language)
            pages["report.html"] = render(kperf_page(result, notes, record, context.say, language))
        names = publish(result.cells, result.provenances, record, context, folder, pages, result.shares)
        written += [str(folder / name) for name in names]
    if len(results) > 1:
        context = replace(results[0].context, say=speaker(language))
        written += [str(out / name) for name in publish_comparison(results, record, context, out)]
    return written
