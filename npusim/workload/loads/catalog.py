"""Shipped loads (workloads/loads/*.yaml) by name, and those in files of others."""

from __future__ import annotations

from pathlib import Path

from npusim.hardware.yaml_file import load_yaml
from npusim.workload.loads.description import LoadDescription
from npusim.workload.shipped import file_of, shipped


def load_path(name_or_path: str, option: str) -> Path:
    """The file of the load of that shipped name or path. Raises UserError, which names `option`."""
    return file_of("loads", name_or_path, option)


def described_load(path: Path) -> LoadDescription:
    """The load that a file describes. Raises UserError with file, line and key."""
    return load_yaml(path, LoadDescription)


def list_loads() -> tuple[LoadDescription, ...]:
    """Every shipped load, by name."""
    return tuple(described_load(path) for path in shipped("loads").values())
