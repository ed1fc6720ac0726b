"""A comparison with and without PIM units as files: a table, a chart, and everything as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from npusim.explore.pim.chart import DECIDERS, Caption, draw_pim_chart
from npusim.explore.pim.compare import COMPARED, WITHOUT, PimComparison
from npusim.publish import publish_folder
from npusim.safe_text import spreadsheet_safe

_TABLE, _CHART, _ANSWER = "pim-compare.csv", "pim-compare.png", "pim-compare.json"


def answer_of(comparison: PimComparison) -> dict[str, Any]:
    """The comparison as plain JSON values; of each figure's deciders the first three."""
    return {
        "best_policy": comparison.best,
        **comparison.figures,
        "deciders": {
            name: [each.as_dict() for each in found[:DECIDERS]] for name, found in comparison.deciders.items()
        },
        "policies": comparison.variants,
    }


def write_comparison(comparison: PimComparison, answer: dict[str, Any], caption: Caption, folder: Path) -> list[Path]:
    """Write table, chart and JSON into `folder`, whole or not at all; returns the files. Raises UserError."""

    def write(draft: Path) -> list[str]:
        spreadsheet_safe(pim_table(comparison)).to_csv(draft / _TABLE, index=False, lineterminator="\n")
        draw_pim_chart(comparison, caption, draft / _CHART)
        text = json.dumps(answer, indent=2, allow_nan=False)
        (draft / _ANSWER).write_text(text + "\n", encoding="utf-8")
        return [_TABLE, _CHART, _ANSWER]

    return [folder / name for name in publish_folder(write, folder)]


def pim_table(comparison: PimComparison) -> pd.DataFrame:
    """A row a policy; intervals for the board without units and for the best policy."""
    rows = []
    for name, figures in comparison.variants.items():
        row: dict[str, Any] = {"policy": name, "fits": figures is not None, **(figures or {})}
        side = {WITHOUT: "without", comparison.best: "with"}.get(name)
        for figure in COMPARED if side else ():
            ranged = comparison.figures[side][figure] if side else {}
            row |= {f"{figure}_low": ranged["low"], f"{figure}_high": ranged["high"]}
        rows.append(row)
    return pd.DataFrame(rows)
