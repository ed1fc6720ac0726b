"""Writes a comparison of chips to a folder: workbook, CSV, charts and manifest, all of them or none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.kperf.comparison import compared
from npusim.kperf.comparison_chart import write_comparison_charts
from npusim.kperf.comparison_workbook import write_comparison_workbook
from npusim.kperf.table import KPerfContext
from npusim.publish import MANIFEST, publish_folder
from npusim.safe_text import printable_table, spreadsheet_safe

if TYPE_CHECKING:
    from npusim.kperf.runner import GridResult

WORKBOOK, TABLE, CHARTS = "comparison.xlsx", "comparison.csv", "charts"


def publish_comparison(
    results: Sequence[GridResult], manifest: dict[str, Any], context: KPerfContext, out_dir: Path
) -> list[str]:
    """Writes `comparison.xlsx`, `comparison.csv`, `charts/*-comparison.png` and `manifest.json`; returns their names.

    context: of any of the chips, for the grid and the language. Raises UserError where the folder or a file in it
    cannot be written.
    """
    rows = compared(results)

    def write(draft: Path) -> list[str]:
        write_comparison_workbook(rows, manifest, context, draft / WORKBOOK)
        table = spreadsheet_safe(printable_table(rows).convert_dtypes())
        table.to_csv(draft / TABLE, index=False, lineterminator="\n")
        pictures = write_comparison_charts(rows, context, draft / CHARTS)
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        (draft / MANIFEST).write_text(text + "\n", encoding="utf-8")
        return [WORKBOOK, TABLE, *(f"{CHARTS}/{name}" for name in pictures), MANIFEST]

    return publish_folder(write, out_dir)
