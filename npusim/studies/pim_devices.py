"""Which memory with PIM units a name means, from which files it is read, and what of it is assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.hardware.catalog import load_pim, load_system, memory_path, pim_path, shipped_systems, system_path
from npusim.hardware.draws import is_ranged
from npusim.hardware.pim import Pim
from npusim.hardware.yaml_file import read_yaml
from npusim.ledger import certificates


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


def device_files(name: str, name_or_path: str) -> list[Path]:
    """The files from which the memory `name` was read: its own, its base's and that of its DRAM standard."""
    files = [system_path(name_or_path)] if name_or_path in shipped_systems() else []
    path = pim_path(name_or_path if Path(name_or_path).suffix and not files else name)
    described = read_yaml(path)
    files.append(path)
    base = described.get("based_on")
    if base is not None:
        files += device_files(str(base), str(base))
    return [*files, memory_path(load_pim(str(path)).memory.name)]


def assumptions(pim: Pim) -> list[dict[str, Any]]:
    """The assumed numbers of a memory and its units that have a range wider than a point, energies left out."""
    found = (
        item
        for item in certificates(pim.name, pim)
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
    if Path(name_or_path).suffix not in {".yaml", ".yml"} and name_or_path not in shipped_systems():
        return load_pim(name_or_path)
    if name_or_path in shipped_systems() or "chip" in read_yaml(Path(name_or_path)):
        system = load_system(name_or_path, uncalibrated=True)
        if system.chip.pim is None:
            raise UserError(system.name, "chip.pim", "this architecture's memory has no PIM units")
        return system.chip.pim
    return load_pim(name_or_path)
