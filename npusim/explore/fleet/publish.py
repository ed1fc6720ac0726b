"""Writes fleets to a folder: report, workbook, table and manifest, all of them or none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from npusim.explore.fleet.option import FleetOption
from npusim.explore.fleet.page import fleet_page
from npusim.explore.fleet.table import fleet_table
from npusim.explore.fleet.workbook import write_fleet_workbook
from npusim.publish import MANIFEST, publish_folder
from npusim.report.page import render
from npusim.safe_text import printable_table, spreadsheet_safe
from npusim.words import ENGLISH, speaker
from npusim.workload.profile import Profile

REPORT, WORKBOOK, TABLE = "report.html", "fleet.xlsx", "fleet.csv"


def publish_fleet(
    options: Sequence[FleetOption],
    profile: Profile,
    notes: Sequence[str],
    manifest: Mapping[str, Any],
    language: str,
    out: Path,
    manifests: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Writes `report.html`, `fleet.xlsx`, `fleet.csv` and `manifest.json`; returns their names. Raises UserError.

    manifests: further files for a cluster and their text.
    """
    say = speaker(language)

    def write(draft: Path) -> list[str]:
        page = fleet_page(options, profile, notes, manifest, say, language)
        (draft / REPORT).write_text(render(page), encoding="utf-8")
        write_fleet_workbook(options, profile, manifest, say, draft / WORKBOOK)
        table = spreadsheet_safe(printable_table(fleet_table(options, speaker(ENGLISH))).convert_dtypes())
        table.to_csv(draft / TABLE, index=False, lineterminator="\n")
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        (draft / MANIFEST).write_text(text + "\n", encoding="utf-8")
        for name, content in manifests.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_text(content, encoding="utf-8")
        return [REPORT, WORKBOOK, TABLE, *manifests, MANIFEST]

    return publish_folder(write, out)
