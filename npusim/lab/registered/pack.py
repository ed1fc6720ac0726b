"""A pack of predictions that is stamped before silicon is measured, so that no later edit goes unseen.

The stamp is the SHA-256 of the pack's canonical JSON without the stamp. Whoever edits a pack can stamp it anew: what
proves the date is the stamp, published or sent to others when the pack is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.hardware.drafting import NONE
from npusim.inputs.json_text import read_json
from npusim.inputs.limits import MOST
from npusim.kperf.table import FIDELITY_METRIC
from npusim.publish import publish_file, require_file
from npusim.workload.lengths import FIXED

FORMAT = "npusim predictions 1"
STAMP = "sha256"
KEY_WORDS, KEY_COUNTS = ("chip", "model", "precision"), ("cards", "isl", "osl", "users")
"""What says which cell of a grid is meant."""
KEY_SPREAD = {"lengths": FIXED.text, "speculation": NONE}
"""What else does, with what packs had before they told it."""
_TEXTS = (
    *(*KEY_WORDS, *KEY_SPREAD, "plan", "runtime", "model_title", "kv_precision", "power_scope", "bound", "status"),
    *("fidelity_recovery", "fidelity_sources"),
)


def stamped(cells: list[dict[str, Any]], date: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The pack with its stamp; cells: plain JSON values, as the K-Perf table has them."""
    content = {"format": FORMAT, "registered": date, "cells": cells, "manifest": dict(manifest)}
    return {**content, STAMP: stamp_of(content)}


def stamp_of(pack: Mapping[str, Any]) -> str:
    """The stamp that the content of a pack has."""
    content = {key: value for key, value in pack.items() if key != STAMP}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def write_pack(pack: Mapping[str, Any], path: Path) -> None:
    """Write a pack where there is none yet. Raises UserError: a registered pack is never overwritten."""
    require_file(path, {"": None})
    publish_file(path, json.dumps(pack, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_pack(path: Path, published: str | None = None) -> dict[str, Any]:
    """A pack whose stamp holds. published: the stamp as it was published. Raises UserError for any edit."""
    pack = read_json(path)
    if not isinstance(pack, dict) or pack.get("format") != FORMAT or not isinstance(pack.get("cells"), list):
        raise UserError(str(path), "format", f"is no pack; `npusim predict --register` writes '{FORMAT}'")
    own = stamp_of(pack)
    if pack.get(STAMP) != own:
        raise UserError(str(path), STAMP, f"the pack was edited: its content has the stamp {own}; give the original")
    _check_cells(str(path), pack["cells"])
    if published is not None and published.strip().lower() != own:
        raise UserError(str(path), STAMP, f"is not the published pack: its stamp is {own}, not {published}")
    return pack


def cell_key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """What sets a cell apart from the others of its pack, in the order of KEY_WORDS, KEY_COUNTS and KEY_SPREAD."""
    spread = (cell.get(name, former) for name, former in KEY_SPREAD.items())
    return (*(cell[name] for name in (*KEY_WORDS, *KEY_COUNTS)), *spread)


def _check_cells(location: str, cells: list[Any]) -> None:
    """Raises UserError for a cell that does not say what it predicts, or whose interval does not hold its figure."""
    seen = set()
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict):
            raise UserError(location, f"cells.{number}", "is no object; give the pack as npusim wrote it")
        for key in (*KEY_WORDS, *KEY_COUNTS):
            value = cell.get(key)
            is_count = type(value) is int and 1 <= value <= MOST
            if not (isinstance(value, str) if key in KEY_WORDS else is_count):
                raise UserError(
                    location, f"cells.{number}.{key}", "is missing or of another kind; give the pack as written"
                )
        for key, value in cell.items():
            if not (value is None or _is_figure(value, key) or (isinstance(value, str) and key in _TEXTS)):
                raise UserError(location, f"cells.{number}.{key}", "is no figure of zero or more; give the original")
            if key.endswith("_low"):
                _check_interval(location, number, key.removesuffix("_low"), cell)
        named = cell_key(cell)
        if named in seen:
            raise UserError(location, f"cells.{number}", "is predicted twice; give the pack as npusim wrote it")
        seen.add(named)


def _check_interval(location: str, number: int, name: str, cell: Mapping[str, Any]) -> None:
    """Raises UserError unless the figure and its ends are numbers of zero or more in order, or absent together."""
    ends: list[Any] = [cell.get(key) for key in (f"{name}_low", name, f"{name}_high")]
    if all(end is None for end in ends) or (ends[0] is None and ends[2] is None and _is_figure(ends[1], name)):
        return
    if not (all(_is_figure(end, name) for end in ends) and ends == sorted(ends)):
        raise UserError(location, f"cells.{number}.{name}", "low, value and high are no figures in order")


def _is_figure(value: Any, key: str) -> bool:
    """Whether it is a number that a cell may hold: zero or more, but for ratios in dB."""
    return type(value) in (int, float) and (value >= 0 or key.startswith(FIDELITY_METRIC))
