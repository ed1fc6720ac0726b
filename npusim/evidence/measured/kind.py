"""A kind of measured table: how it is recognised, what its rows become, and all that depends on the kind alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Skip
from npusim.evidence.measured.collect import each_row, require_unit
from npusim.evidence.measured.tables import MeasuredTable, Row
from npusim.hardware.catalog import load_system, shipped_systems

_Maker = Callable[[MeasuredTable, str | None], list[Case | Skip]]
"""The cases of a table on an architecture; None: the one that the table or its folder names. Raises UserError."""

_ATTENTION = {"generation": "attn_decode", "context": "attn_prefill"}


@dataclass(frozen=True)
class TableKind:
    """One kind of table; a module of `evidence.measured.kinds` describes it as its KIND.

    columns: names that a table of it has (it may have more); main: the metric of the top-level errors; telling: the
    dimensions that say most about its errors, the first colours its charts; regime: of the operator that a case is,
    None where cases are whole steps; runs: whether rows are serving runs; draws: machines that are drawn for an
    interval, None for the usual number; brief: whether runs of half the requests say how a drawn machine moves a
    figure.
    """

    name: str
    columns: str
    main: str
    telling: tuple[str, ...]
    cases: _Maker
    regime: Callable[[Case], str] | None = None
    runs: bool = False
    draws: int | None = None
    brief: bool = False

    def describes(self, columns: set[str]) -> bool:
        """True where a table with these columns is of this kind."""
        return columns.issuperset(self.columns.split())


def of_chip(make: Callable[[Row, str], list[Case]], unit: str = "") -> _Maker:
    """Tables about one chip, row by row. unit: kind of compute unit that it must have, "" for any."""

    def cases(table: MeasuredTable, arch: str | None) -> list[Case | Skip]:
        chip = arch or _architecture(table)
        if unit:
            require_unit(chip, unit, table)
        return each_row(table, lambda row: make(row, chip))

    return cases


def of_component(make: Callable[[Row], list[Case]]) -> _Maker:
    """Tables about memories, which their rows name themselves."""

    def cases(table: MeasuredTable, arch: str | None) -> list[Case | Skip]:
        if arch is not None:
            mend = f"the rows of {table.path.name} name their memories themselves; leave it out"
            raise UserError("--arch", arch, mend)
        return each_row(table, make)

    return cases


def served_attention(case: Case) -> str:
    """Regime of attention kernels as a server runs them."""
    return f"served {_ATTENTION[case.dimensions['phase']]}"


def _architecture(table: MeasuredTable) -> str:
    """The shipped architecture that the table's chip, its folder or the first word of its name says."""
    if table.chip:
        return load_system(table.chip, uncalibrated=True).name
    folder = table.path.resolve().parent.name
    for name in (folder, table.path.stem.partition("_")[0]):
        if name.lower() in shipped_systems():
            return name.lower()
    raise UserError("--arch", "", f"neither {table.path.name} nor its folder says which chip it is about; give --arch")
