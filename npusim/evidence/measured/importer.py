"""A measured table as cases, made by the module that knows its kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from npusim.evidence.measured.case import Case, Skip
from npusim.evidence.measured.kind import TableKind
from npusim.evidence.measured.kinds import table_kinds
from npusim.evidence.measured.tables import MeasuredTable, read_table
from npusim.hardware.catalog import load_system


@dataclass(frozen=True)
class Imported:
    """A table with its kind, its cases and the rows that were skipped."""

    table: MeasuredTable
    kind: TableKind
    cases: tuple[Case, ...]
    skips: tuple[Skip, ...]

    @property
    def main_metric(self) -> str:
        return self.kind.main


def import_table(path: Path, arch: str | None = None) -> Imported:
    """Read a table and make its cases on `arch` (default: the table's chip, else the folder's). Raises UserError."""
    kinds = table_kinds()
    table = read_table(path, {name: kind.columns for name, kind in kinds.items()})
    if arch is not None:
        load_system(arch, uncalibrated=True)
    kind = kinds[table.kind]
    found = kind.cases(table, arch)
    return Imported(
        table,
        kind,
        tuple(replace(item, kind=table.kind) for item in found if isinstance(item, Case)),
        tuple(item for item in found if isinstance(item, Skip)),
    )
