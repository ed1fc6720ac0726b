"""Descriptions of a kind that npusim ships by name (workloads/KIND/*.yaml), beside those in files of others."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Literal

from npusim.errors import UserError
from npusim.hardware.data import data_root

Kind = Literal["grids", "loads", "profiles"]


@cache
def shipped(kind: Kind) -> dict[str, Path]:
    """Files of that kind by name, in the order of names."""
    return {path.stem: path for path in sorted((data_root("workloads") / kind).glob("*.yaml"))}


def file_of(kind: Kind, name_or_path: str, option: str) -> Path:
    """The file of that shipped name or path. Raises UserError, which names `option` and the nearest name."""
    known = shipped(kind)
    path = known.get(name_or_path.strip().lower())
    if path is not None:
        return path
    own = Path(name_or_path).expanduser()
    if own.suffix in {".yaml", ".yml"} or own.parent != Path("."):
        return own
    near = difflib.get_close_matches(name_or_path.lower(), known, n=1)
    mend = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    thing = f"{kind.removesuffix('s')} '{name_or_path}'"
    raise UserError(option, "", f"unknown {thing}; {mend} (npusim list {kind}), or give the path of a YAML file")
