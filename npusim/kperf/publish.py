"""Writes a K-Perf prediction to a folder: workbook, CSV, charts and manifest, none of them half-written."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.errors import UserError
from npusim.kperf.charts import write_charts
from npusim.kperf.table import KPerfContext, file_columns, model_names, of_model, unique_names
from npusim.kperf.workbook import write_workbook


def publish(
    cells: pd.DataFrame,
    provenances: pd.DataFrame,
    manifest: dict[str, Any],
    context: KPerfContext,
    out_dir: str | os.PathLike[str],
) -> list[str]:
    """Writes `kperf.xlsx`, `kperf.csv`, `charts/*.png` and `manifest.json`; returns their relative names.

    Raises UserError where the folder or a file in it cannot be written.
    """
    return publish_folder(lambda draft: _write_all(cells, provenances, manifest, context, draft), out_dir)


def publish_folder(write: Callable[[Path], list[str]], out_dir: str | os.PathLike[str]) -> list[str]:
    """Lets `write` fill a folder and moves the files that it names into `out_dir`; returns their relative names.

    Files are made in a hidden folder (inside `out_dir` where that exists: it may be another disk than its
    parent) and moved into place when all are whole: a failure while writing leaves `out_dir` as it was.
    Raises UserError where the folder or a file in it cannot be written.
    """
    out = Path(out_dir)
    base = out
    while not base.exists():
        base = base.parent
    if not base.is_dir():
        raise UserError("--out", "", f"{base} is a file; give a folder")
    try:
        draft = Path(tempfile.mkdtemp(prefix=".npusim-", dir=base))
    except OSError as error:
        reason = f"{base} cannot be written ({error.strerror}); give another folder"
        raise UserError("--out", "", reason) from error
    try:
        names = write(draft)
        _move(names, draft, out)
    finally:
        shutil.rmtree(draft)
    return names


def _write_all(
    cells: pd.DataFrame,
    provenances: pd.DataFrame,
    manifest: dict[str, Any],
    context: KPerfContext,
    folder: Path,
) -> list[str]:
    ordered = cells[[item.name for item in file_columns(cells)]]
    write_workbook(ordered, provenances, manifest, context, folder / "kperf.xlsx")
    ordered.convert_dtypes().to_csv(folder / "kperf.csv", index=False, lineterminator="\n")
    (folder / "charts").mkdir()
    models = model_names(ordered)
    pictures = [
        f"charts/{name}"
        for model, stem in zip(models, unique_names(models, r"[^A-Za-z0-9._-]+", 80), strict=True)
        for name in write_charts(of_model(ordered, model), context, stem, folder / "charts")
    ]
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return ["kperf.xlsx", "kperf.csv", *pictures, "manifest.json"]


def _move(names: list[str], draft: Path, out: Path) -> None:
    for name in names:
        try:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(draft / name, out / name)
        except OSError as error:
            reason = f"cannot be replaced ({error.strerror}); close it where it is open, or give another folder"
            raise UserError("--out", name, reason) from error
