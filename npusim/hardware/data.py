"""Where the shipped descriptions are: package data in an installed wheel, top-level folders in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal


def data_root(kind: Literal["arch_configs", "workloads", "rules", "validation"]) -> Path:
    """The folder of that kind of shipped data. Raises FileNotFoundError in a broken installation."""
    package = Path(str(files("npusim")))
    for folder in (package / "data" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"npusim's own folder '{kind}' is missing; install npusim again")
