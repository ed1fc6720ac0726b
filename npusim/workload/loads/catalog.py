"""Shipped loads (workloads/loads/*.yaml) by name, and those in files of others."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.workload.loads.description import LoadDescription


def load_path(name_or_path: str, option: str) -> Path:
    """The file of the load of that shipped name or path. Raises UserError, which names `option`."""
    shipped = _shipped()
    path = shipped.get(name_or_path.strip().lower())
    if path is not None:
        return path
    own = Path(name_or_path).expanduser()
    if own.suffix in {".yaml", ".yml"} or own.parent != Path("."):
        return own
    near = difflib.get_close_matches(name_or_path.lower(), shipped, n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(shipped)}"
    message = f"unknown load '{name_or_path}'; {mend} (npusim list loads), or give the path of a YAML file"
    raise UserError(option, "", message)


def described_load(path: Path) -> LoadDescription:
    """The load that a file describes. Raises UserError with file, line and key."""
    return load_yaml(path, LoadDescription)


def list_loads() -> tuple[LoadDescription, ...]:
    """Every shipped load, by name."""
    return tuple(described_load(path) for path in _shipped().values())


@cache
def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted((data_root("workloads") / "loads").glob("*.yaml"))}
