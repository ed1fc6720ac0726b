"""Writes a K-Perf prediction to a folder: workbook, CSV, charts and manifest, all of them or none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.kperf.charts import write_charts
from npusim.kperf.energy_chart import write_energy_chart
from npusim.kperf.shares import no_shares
from npusim.kperf.shares_chart import write_shares_chart
from npusim.kperf.table import KPerfContext, file_columns, model_names, of_model, unique_names
from npusim.kperf.workbook import write_kperf_workbook
from npusim.publish import MANIFEST, publish_folder
from npusim.safe_text import printable_table, spreadsheet_safe

WORKBOOK, TABLE, CHARTS = "kperf.xlsx", "kperf.csv", "charts"


def publish(
    cells: pd.DataFrame,
    provenances: pd.DataFrame,
    manifest: dict[str, Any],
    context: KPerfContext,
    out_dir: str | os.PathLike[str],
    pages: Mapping[str, str] | None = None,
    shares: pd.DataFrame | None = None,
) -> list[str]:
    """Writes `kperf.xlsx`, `kperf.csv`, `charts/*.png` and `manifest.json`; returns their relative names.

    pages: further files and their text; shares: parts of the time of steps, as `kperf.shares` has them. Raises
    UserError where the folder or a file in it cannot be written.
    """

    def write(draft: Path) -> list[str]:
        parts = no_shares() if shares is None else shares
        names = _write_all((cells, provenances, parts), manifest, context, draft)
        for name, text in (pages or {}).items():
            (draft / name).write_text(text, encoding="utf-8")
        return [*names, *(pages or {})]

    return publish_folder(write, out_dir)


def _write_all(
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    manifest: dict[str, Any],
    context: KPerfContext,
    folder: Path,
) -> list[str]:
    cells, provenances, shares = tables
    ordered = printable_table(cells[[item.name for item in file_columns(cells)]])
    write_kperf_workbook(ordered, provenances, manifest, context, folder / WORKBOOK, shares)
    spreadsheet_safe(ordered.convert_dtypes()).to_csv(folder / TABLE, index=False, lineterminator="\n")
    (folder / CHARTS).mkdir()
    models = model_names(ordered)
    pictures = []
    for model, stem in zip(models, unique_names(models, r"[^A-Za-z0-9._-]+", 80), strict=True):
        rows, told = of_model(ordered, model), (context, stem, folder / CHARTS)
        names = [*write_charts(rows, *told), *write_energy_chart(rows, *told), *write_shares_chart(rows, shares, *told)]
        pictures += [f"{CHARTS}/{name}" for name in names]
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return [WORKBOOK, TABLE, *pictures, MANIFEST]
