"""Which memory with PIM units a name means, from which files it is read, and what of it is assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.hardware.catalog import load_pim, load_system, shipped_systems
from npusim.hardware.description import read_yaml
from npusim.hardware.draws import is_ranged
from npusim.hardware.pim import Pim
from npusim.inputs import is_file
from npusim.ledger import provenances


def device(name_or_path: str, placement: str | None = None) -> Pim:
    """A memory by its name, alias or path, or that of an architecture. Raises UserError.

    placement: of the units, for a memory that is described in several places.
    """
    found = _found(name_or_path)
    if placement is None:
        return found
    if placement not in found.placements:
        known = ", ".join(found.placements) or "none beside the described one"
        raise UserError("--placement", placement, f"{found.name} has no such place for its units; known: {known}")
    return load_pim(found.placements[placement])


def assumptions(pim: Pim) -> list[dict[str, Any]]:
    """The assumed numbers of a memory and its units that have a range wider than a point, energies left out."""
    found = (
        item
        for item in provenances(pim.name, pim)
        if item.quantity.is_assumed and is_ranged(item.quantity) and "energy" not in item.path
    )
    return [
        {
            "path": item.path,
            "text": item.quantity.text,
            "value": item.quantity.value,
            "low": item.quantity.low,
            "high": item.quantity.high,
            "range": f"{item.quantity.low:.4g} to {item.quantity.high:.4g} {item.quantity.unit}".strip(),
            "source": item.quantity.source,
        }
        for item in found
    ]


def _found(name_or_path: str) -> Pim:
    if not _is_system(name_or_path):
        return load_pim(name_or_path)
    system = load_system(name_or_path, uncalibrated=True)
    if system.chip.pim is None:
        raise UserError(system.name, "chip.pim", "this architecture's memory has no PIM units")
    return system.chip.pim


def _is_system(name_or_path: str) -> bool:
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} and is_file(path):
        return "chip" in read_yaml(path)
    return name_or_path.strip().lower() in shipped_systems()
