"""A measured table as cases: which architecture it is about, and the module that knows its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from npusim.errors import UserError
from npusim.evidence.measured import (
    card_kernels,
    dram_simulations,
    mixed_steps,
    ops,
    pim_simulations,
    public_attention,
    public_collectives,
    public_gemm,
    public_mla,
    public_moe,
    published_serving,
    served_models,
    serving,
    serving_steps,
    steps,
)
from npusim.evidence.measured.case import Case, Skip
from npusim.evidence.measured.tables import MeasuredTable, read_table
from npusim.hardware.catalog import load_system, shipped_systems

MAIN_METRICS = {
    "operators": "us",
    "steps": "us",
    "mixed_steps": "us",
    "serving": serving.MAIN,
    "serving_steps": "us_mean",
    "published_serving": published_serving.MAIN,
    "card_kernels": "us",
    "public_gemm": "ms",
    "public_attention": "ms",
    "pim_simulations": pim_simulations.MAIN,
    "public_collectives": "ms",
    "served_models": served_models.MAIN,
    "dram_simulations": dram_simulations.MAIN,
    "public_mla": "ms",
    "public_moe": "ms",
}
"""The metric of the top-level errors by kind of table."""

_MAKERS: dict[str, Callable[[MeasuredTable, str], list[Case | Skip]]] = {
    "operators": ops.cases,
    "steps": steps.cases,
    "mixed_steps": mixed_steps.cases,
    "serving": serving.cases,
    "serving_steps": serving_steps.cases,
    "card_kernels": card_kernels.cases,
    "public_gemm": public_gemm.cases,
    "public_attention": public_attention.cases,
    "public_collectives": public_collectives.cases,
    "served_models": served_models.cases,
    "public_mla": public_mla.cases,
    "public_moe": public_moe.cases,
}

_COMPONENT_MAKERS: dict[str, Callable[[MeasuredTable], list[Case | Skip]]] = {
    "pim_simulations": pim_simulations.cases,
    "dram_simulations": dram_simulations.cases,
}
"""Kinds of tables about a component, whose rows name it themselves."""


@dataclass(frozen=True)
class Imported:
    """A table with its cases and the rows that were skipped."""

    table: MeasuredTable
    cases: tuple[Case, ...]
    skips: tuple[Skip, ...]

    @property
    def main_metric(self) -> str:
        return MAIN_METRICS[self.table.kind]


def import_table(path: Path, arch: str | None = None) -> Imported:
    """Read a table and make its cases on `arch` (default: the table's chip, else the folder's). Raises UserError."""
    table = read_table(path)
    if arch is not None:
        load_system(arch, uncalibrated=True)
    if table.kind in _COMPONENT_MAKERS:
        found = _components(table, arch)
    elif table.kind == "published_serving":
        found = published_serving.cases(table, arch)
    else:
        found = _MAKERS[table.kind](table, arch or _architecture(table))
    return Imported(
        table,
        tuple(replace(item, kind=table.kind) for item in found if isinstance(item, Case)),
        tuple(item for item in found if isinstance(item, Skip)),
    )


def _components(table: MeasuredTable, arch: str | None) -> list[Case | Skip]:
    if arch is not None:
        raise UserError("--arch", arch, f"the rows of {table.path.name} name their memories themselves; leave it out")
    return _COMPONENT_MAKERS[table.kind](table)


def _architecture(table: MeasuredTable) -> str:
    """The shipped architecture that the table's chip, its folder or the first word of its name says."""
    if table.chip:
        return load_system(table.chip, uncalibrated=True).name
    folder = table.path.resolve().parent.name
    for name in (folder, table.path.stem.partition("_")[0]):
        if name.lower() in shipped_systems():
            return name.lower()
    raise UserError("--arch", "", f"neither {table.path.name} nor its folder says which chip it is about; give --arch")
